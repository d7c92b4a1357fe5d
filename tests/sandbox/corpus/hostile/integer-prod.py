# killed integer
result = math.prod(range(1, 10 ** 6))
