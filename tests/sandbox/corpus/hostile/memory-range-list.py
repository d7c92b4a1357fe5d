# killed memory
result = list(range(10 ** 10))
