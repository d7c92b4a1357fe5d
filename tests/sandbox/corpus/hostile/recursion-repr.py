# killed recursion
x = []
for _ in range(100000):
    x = [x]
result = repr(x)
