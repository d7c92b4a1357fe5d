# rejected forbidden-statement
match image:
    case str(x):
        result = x
    case _:
        result = 1
