# ok
def f(a, b=2, *args, c=3, d, **kw):
    return a, b, args, c, d, sorted(kw.items())
result = [f(1, d=4), f(1, 2, 3, 4, d=5, e=6), f(1, d=0, z=1, y=2)]
