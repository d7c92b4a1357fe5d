# error AttributeError
result = getattr(Image, "__subclasses__")()
