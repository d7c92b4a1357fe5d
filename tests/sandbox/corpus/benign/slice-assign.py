# ok
xs = list(range(10))
xs[2:5] = ["a", "b"]
xs[::3] = [0] * len(xs[::3])
del xs[-1]
del xs[:2]
ys = xs[:]
ys[:] = []
xs[1] += 5
xs[1:2] *= 2
d = {"a": 1, "b": 2}
del d["a"]
result = xs, ys, d
