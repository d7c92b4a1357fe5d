# ok
for i in range(20000):
    print("x" * 100)
result = 1
