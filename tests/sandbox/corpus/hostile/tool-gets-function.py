# error TypeError
result = echo(lambda: 1)
