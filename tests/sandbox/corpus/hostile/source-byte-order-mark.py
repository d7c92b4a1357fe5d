# ok
result = 1
