# killed sequence
result = "x".center(10 ** 9, "-")
