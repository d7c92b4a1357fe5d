# killed result
x = 1
for _ in range(5000):
    x = x + x
result = x
