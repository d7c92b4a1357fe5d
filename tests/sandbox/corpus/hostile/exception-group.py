# rejected forbidden-name
raise ExceptionGroup("x", [ValueError()])
result = 1
