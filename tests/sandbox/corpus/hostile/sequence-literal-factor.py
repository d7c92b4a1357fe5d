# killed sequence
result = "x" * 10000000000
