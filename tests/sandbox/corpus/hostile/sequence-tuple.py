# killed sequence
result = (0,) * 10 ** 10
