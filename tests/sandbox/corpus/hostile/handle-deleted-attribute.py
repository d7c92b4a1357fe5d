# rejected forbidden-attribute
del image.width
result = 1
