# rejected forbidden-name
result = __import__("os")
