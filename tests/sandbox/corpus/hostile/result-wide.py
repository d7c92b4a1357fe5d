# killed result
result = list(range(1000000))
