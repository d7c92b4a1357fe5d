# rejected forbidden-name
result = __builtins__["open"]
