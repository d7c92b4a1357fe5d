# rejected forbidden-name
result = __name__
