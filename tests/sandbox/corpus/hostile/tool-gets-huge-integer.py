# killed message
x = 1
for _ in range(6000):
    x = x + x
result = echo(x)
