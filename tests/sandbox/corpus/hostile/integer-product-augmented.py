# killed integer
x = 3
while True:
    x *= x
result = x
