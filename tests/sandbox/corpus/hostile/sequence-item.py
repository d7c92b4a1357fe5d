# killed sequence
x = ["a"]
x[0] *= 10 ** 10
result = x
