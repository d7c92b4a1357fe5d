# rejected forbidden-attribute
*image.width, b = 1, 2
result = 1
