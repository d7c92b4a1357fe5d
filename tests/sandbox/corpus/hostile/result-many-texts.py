# killed result
result = ["y" * 100000] * 100
