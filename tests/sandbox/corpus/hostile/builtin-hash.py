# rejected forbidden-name
result = hash("")
