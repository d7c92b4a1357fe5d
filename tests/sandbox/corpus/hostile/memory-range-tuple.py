# killed memory
result = tuple(range(0, -10 ** 10, -1))
