# error AttributeError
result = getattr({}.keys(), "mapping")
