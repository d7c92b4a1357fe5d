# error TypeError
image[0] = 1
result = 1
