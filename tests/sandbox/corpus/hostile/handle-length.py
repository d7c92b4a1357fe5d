# error TypeError
result = len(image)
