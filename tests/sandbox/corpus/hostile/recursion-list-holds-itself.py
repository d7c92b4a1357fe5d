# killed recursion
x, y = [], []
x.append(x)
y.append(y)
result = x == y
