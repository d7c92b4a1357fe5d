# rejected forbidden-name
result = __spec__
