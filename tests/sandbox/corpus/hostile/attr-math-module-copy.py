# error AttributeError
result = math.copy()
