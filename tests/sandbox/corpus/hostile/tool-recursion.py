# killed recursion
def f(n):
    return f(n + 1)
result = f(0)
