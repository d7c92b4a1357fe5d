# killed sequence
w = 1000000000
result = f"{1:{w}}"
