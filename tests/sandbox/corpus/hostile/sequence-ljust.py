# killed sequence
result = "x".ljust(10 ** 10)
