# killed memory
x = [1]
while True:
    x.extend(x)
result = 1
