# error AttributeError
result = [].upper()
