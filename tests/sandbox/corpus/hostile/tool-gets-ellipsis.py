# error TypeError
result = echo(...)
