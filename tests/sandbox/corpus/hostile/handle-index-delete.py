# error TypeError
del image[0]
result = 1
