# killed recursion
def f(x):
    return sorted([x, x], key=f)
result = f(1)
