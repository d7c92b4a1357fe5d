# error TypeError
result = Region(Box(0, 0, 1, 1), "x", len)
