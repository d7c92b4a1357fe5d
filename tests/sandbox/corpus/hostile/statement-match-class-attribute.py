# rejected forbidden-statement
match "":
    case str(__class__=c):
        result = c
