# killed integer
result = pow(3, 10 ** 9)
