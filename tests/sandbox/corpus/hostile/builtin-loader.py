# rejected forbidden-name
result = __loader__
