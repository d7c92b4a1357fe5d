# error TypeError
print("x", **{"file": 2})
result = 1
