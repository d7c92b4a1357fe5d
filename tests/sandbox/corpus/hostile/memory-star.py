# killed memory
result = max(*range(10 ** 8))
