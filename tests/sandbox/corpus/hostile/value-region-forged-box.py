# error TypeError
result = Region({"$v": [0, [0, 0, 1, 1]]})
