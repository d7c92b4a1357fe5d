# rejected forbidden-name
result = dir(image)
