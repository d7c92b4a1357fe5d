# ok
n = 3
def f(x=n):
    return x
n = 10
result = f()
