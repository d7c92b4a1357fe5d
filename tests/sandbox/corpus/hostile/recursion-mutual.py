# killed recursion
def f():
    return g()
def g():
    return f()
result = f()
