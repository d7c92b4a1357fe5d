# rejected forbidden-name
del _getattr_
result = 1
