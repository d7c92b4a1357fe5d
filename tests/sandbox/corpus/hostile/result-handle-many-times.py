# killed result
result = [image] * 30000
