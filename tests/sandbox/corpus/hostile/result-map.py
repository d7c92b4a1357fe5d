# error TypeError
result = map(str, [1])
