# rejected forbidden-attribute
result = image.number
