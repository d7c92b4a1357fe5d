# killed result
x = {}
x["x"] = x
result = x
