# killed
result = list(iter(lambda: [0] * 1000, 1))
