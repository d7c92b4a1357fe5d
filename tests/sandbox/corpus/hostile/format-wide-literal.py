# killed sequence
result = f"{1:1000000000}"
