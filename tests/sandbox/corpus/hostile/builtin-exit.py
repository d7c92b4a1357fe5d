# rejected forbidden-name
exit()
result = 1
