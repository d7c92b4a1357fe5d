# error TypeError
result = slice(1)
