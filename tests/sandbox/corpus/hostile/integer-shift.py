# killed integer
result = 1 << 10 ** 12
