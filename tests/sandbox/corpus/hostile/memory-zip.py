# killed memory
result = list(zip(range(10 ** 9), range(10 ** 9)))
