# killed sequence
x = [0]
x *= 10 ** 10
result = x
