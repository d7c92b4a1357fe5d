# rejected forbidden-name
result = eval("1")
