# rejected forbidden-attribute
image.width = 10
result = image.width
