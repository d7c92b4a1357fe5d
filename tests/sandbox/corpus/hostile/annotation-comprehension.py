# rejected forbidden-expression
def f(*xs: [y for y in range(10 ** 9)]):
    return xs
result = f()
