# killed recursion
t = ()
for i in range(10 ** 5):
    t = (t, int)
result = isinstance("x", t)
