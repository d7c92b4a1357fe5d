# killed memory
a, *b = range(10 ** 10)
result = 1
