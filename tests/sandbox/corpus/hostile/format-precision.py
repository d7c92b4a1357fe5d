# killed sequence
result = f"{1.5:.{10 ** 8}f}"
