# rejected forbidden-name
result = (_mul_ := 3)
