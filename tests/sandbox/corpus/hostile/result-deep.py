# killed result
x = 1
for _ in range(50):
    x = (x,)
result = x
