# ok
result = echo({"$h": 7}), echo({"$d": 1}), echo([{"$t": [1]}])
