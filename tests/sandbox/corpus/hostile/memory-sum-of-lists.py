# killed
result = sum([[0] * 10 ** 6] * 1000, [])
