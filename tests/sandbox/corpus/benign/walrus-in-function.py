# ok
def f(xs):
    if (n := len(xs)) and (last := xs[-1]) > 1:
        return n, last
    return [m := 3, m * 2]
result = f([1, 2]), f([])
