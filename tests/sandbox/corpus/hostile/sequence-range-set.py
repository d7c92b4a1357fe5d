# killed sequence
result = len(set(range(10 ** 10)))
