# killed recursion
def f(x):
    return list(map(f, [x]))
result = f(1)
