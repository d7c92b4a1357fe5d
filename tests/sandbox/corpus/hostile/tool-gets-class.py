# error TypeError
result = echo(str)
