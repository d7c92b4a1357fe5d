# killed message
result = echo(["x" * 200000] * 20)
