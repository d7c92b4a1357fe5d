# ok
log = []
def f(x):
    log.append(x)
    return x
g = (f(x) for x in range(5))
next(g); next(g)
result = log, [x for x in g if x > 3], log
