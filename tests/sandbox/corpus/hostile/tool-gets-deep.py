# killed message
x = 1
for _ in range(30):
    x = [x]
result = echo(x)
