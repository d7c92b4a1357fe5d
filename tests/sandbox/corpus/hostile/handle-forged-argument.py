# ok
result = echo({"$h": 4999})
