# rejected forbidden-name
result = id(image)
