# rejected forbidden-name
result = dict(_x=1)
