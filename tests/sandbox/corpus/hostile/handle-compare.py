# ok
result = image == 0
