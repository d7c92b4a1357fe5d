# killed sequence
result = list(range(10 ** 10))
