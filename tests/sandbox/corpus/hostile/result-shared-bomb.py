# killed result
x = [1]
for _ in range(60):
    x = [x, x]
result = x
