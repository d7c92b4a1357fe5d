# error AttributeError
result = getattr(str, "mro")
