# killed
m = iter([1])
for i in range(10 ** 6):
    m = enumerate(m)
result = next(m)
