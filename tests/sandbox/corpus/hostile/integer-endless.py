# killed integer
x = 2
while True:
    x = x * x
