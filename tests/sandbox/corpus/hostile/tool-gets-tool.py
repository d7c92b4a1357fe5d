# error TypeError
result = echo(echo)
