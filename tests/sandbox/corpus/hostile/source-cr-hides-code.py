# rejected forbidden-name
result = 1  # commenteval('1')
