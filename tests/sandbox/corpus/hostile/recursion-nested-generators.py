# killed
g = (x for x in [])
for i in range(10 ** 5):
    g = (x for x in g)
result = list(g)
