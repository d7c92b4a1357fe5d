# killed memory
result = len(sorted(range(10 ** 8)))
