# killed sequence
result = "x" * 10 ** 10
