# killed recursion
def f(n):
    return [f(n + 1) for i in range(1)]
result = f(0)
