# ok
print("x" * 4000000)
result = 1
