# rejected forbidden-expression
def g():
    yield 1
result = list(g())
