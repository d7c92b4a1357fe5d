# error TypeError
result = (x for x in [1])
