# rejected forbidden-attribute
b = Box(0, 0, 1, 1)
b.left = 5
result = b
