# killed integer
result = True << 10 ** 10
