# error TypeError
result = echo(math)
