# killed sequence
x = "a" * 100000
result = "".join([x] * 100000)
