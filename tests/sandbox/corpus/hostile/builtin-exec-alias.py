# rejected forbidden-name
e = exec
e("result = 1")
result = 1
