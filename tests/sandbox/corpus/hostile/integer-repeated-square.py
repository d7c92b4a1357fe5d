# killed integer
x = 3
while True:
    x = x * x
result = x
