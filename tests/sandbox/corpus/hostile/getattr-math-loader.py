# error AttributeError
result = getattr(math, "__loader__")
