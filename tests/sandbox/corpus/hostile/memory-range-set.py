# killed memory
result = len(set(range(10 ** 10)))
