# rejected forbidden-name
raise KeyboardInterrupt
result = 1
