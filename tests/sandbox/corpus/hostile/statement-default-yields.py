# rejected forbidden-expression
def f(x=(yield)):
    return x
result = 1
