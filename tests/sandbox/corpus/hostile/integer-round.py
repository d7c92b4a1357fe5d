# killed integer
result = round(12345, -10 ** 9)
