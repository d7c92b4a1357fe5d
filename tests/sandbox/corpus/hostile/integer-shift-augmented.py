# killed integer
x = 1
x <<= 10 ** 10
result = x
