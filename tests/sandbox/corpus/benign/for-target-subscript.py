# ok
d = {}
xs = [0, 0]
for d["i"], xs[1] in [(1, 2), (3, 4)]:
    pass
result = d, xs
