# error TypeError
x = image
x *= 2
result = x
