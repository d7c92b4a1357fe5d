# rejected forbidden-name
result = globals()
