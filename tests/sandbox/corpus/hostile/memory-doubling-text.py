# killed memory
x = "ab"
while True:
    x += x
result = 1
