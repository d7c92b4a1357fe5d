# ok
n = 2
g = (x * n for x in [1, 2, 3])
n = 10
result = list(g)
