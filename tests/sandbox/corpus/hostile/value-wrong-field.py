# error TypeError
result = Box("a", 0, 1, 1)
