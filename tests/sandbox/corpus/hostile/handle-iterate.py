# error TypeError
result = list(image)
