# killed memory
x = [1]
while True:
    x = x + x
result = 1
