# ok
result = {"$h": 0}
