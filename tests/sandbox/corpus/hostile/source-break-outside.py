# rejected syntax-error
break
result = 1
