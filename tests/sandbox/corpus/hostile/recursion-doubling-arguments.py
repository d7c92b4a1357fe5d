# killed
def f(*a):
    return f(*a, *a)
result = f(1)
