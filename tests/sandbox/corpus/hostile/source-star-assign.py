# rejected syntax-error
*a = [1]
result = 1
