# killed message
x = []
x.append(x)
result = echo(x)
