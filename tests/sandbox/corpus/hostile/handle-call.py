# error TypeError
result = image()
