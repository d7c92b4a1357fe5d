# rejected forbidden-name
result = __file__
