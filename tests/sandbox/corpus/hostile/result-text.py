# killed result
result = "x" * 4000000
