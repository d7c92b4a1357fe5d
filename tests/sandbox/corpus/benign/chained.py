# ok
x = 5
result = [1 < x < 10, 1 < x > 6, x == 5 != 6, not x in [5], x is not None, 0 <= x <= 5 and "y" or "n"]
