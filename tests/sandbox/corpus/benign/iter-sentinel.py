# ok
xs = [3, 2, 1, 0, 9]
result = list(iter(lambda: xs.pop(0), 0)), xs
