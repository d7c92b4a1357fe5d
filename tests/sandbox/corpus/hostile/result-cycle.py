# killed result
x = []
x.append(x)
result = x
