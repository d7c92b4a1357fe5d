# killed recursion
def f():
    return f()
result = next((f() for i in [1]), "swallowed")
