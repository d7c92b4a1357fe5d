# killed calls
for i in range(100000):
    echo(1)
result = 1
