# error TypeError
result = image + 1
