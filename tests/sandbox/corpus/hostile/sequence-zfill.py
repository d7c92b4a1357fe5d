# killed sequence
result = "1".zfill(10 ** 9)
