# error TypeError
result = range(5)
