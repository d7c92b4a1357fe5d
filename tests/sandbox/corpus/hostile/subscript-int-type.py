# error TypeError
result = int[0]
