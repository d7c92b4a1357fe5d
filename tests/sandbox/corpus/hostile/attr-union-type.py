# error AttributeError
result = getattr(int | list, "mro")
