# rejected forbidden-name
result = type("X", (), {})()
