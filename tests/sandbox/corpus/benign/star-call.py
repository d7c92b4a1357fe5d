# ok
def f(a, b, c=0):
    return (a, b, c)
xs = [1, 2]
kw = {"c": 9}
result = f(*xs, **kw), f(*[3], 4), [*xs, *range(2)], {*xs, 7} == {1, 2, 7}, {**kw, "d": 1}
