# ok
result = 1

