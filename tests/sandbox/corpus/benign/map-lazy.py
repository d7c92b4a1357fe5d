# ok
m = map(lambda x: x + 1, [1, 2, 3])
a = next(m)
z = zip("ab", [1, 2])
e = enumerate("xy")
f = filter(lambda x: x > 1, [1, 2, 3])
r = reversed([1, 2])
result = a, list(m), next(z), next(e), list(f), next(r), list(m)
