# killed message
result = echo("x" * 300000)
