# error TypeError
result = echo(x for x in [1])
