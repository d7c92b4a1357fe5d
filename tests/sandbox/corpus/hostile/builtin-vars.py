# rejected forbidden-name
result = vars()
