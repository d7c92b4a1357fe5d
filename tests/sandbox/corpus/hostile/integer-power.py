# killed integer
result = 9 ** 9 ** 9
