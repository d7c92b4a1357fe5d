# rejected forbidden-name
result = type(1)
