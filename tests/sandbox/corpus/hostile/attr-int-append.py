# error AttributeError
result = (3).append(1)
