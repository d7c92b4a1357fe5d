# rejected forbidden-statement
match [1, 2]:
    case [first, *rest]:
        result = rest
