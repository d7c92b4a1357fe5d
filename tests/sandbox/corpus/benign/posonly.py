# ok
def f(a, b, /, c):
    return a - b + c
result = f(5, 3, c=1)
