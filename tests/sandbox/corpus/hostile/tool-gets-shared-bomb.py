# killed message
x = [1]
for _ in range(14):
    x = [x, x]
x = [x] * 100000
result = echo(x)
