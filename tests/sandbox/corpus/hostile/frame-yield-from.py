# rejected forbidden-expression
def g():
    yield from [1]
result = list(g())
