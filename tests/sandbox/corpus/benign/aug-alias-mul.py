# ok
a = [1]
b = a
b *= 3
c = [[1]]
c[0] *= 2
def f(l):
    l *= 2
f(a)
result = a, b, a is b, c
