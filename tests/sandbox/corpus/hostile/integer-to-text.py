# error ValueError
x = 1
for _ in range(20000):
    x = x + x
result = str(x)
