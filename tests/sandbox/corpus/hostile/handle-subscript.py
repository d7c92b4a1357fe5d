# error TypeError
result = image[0]
