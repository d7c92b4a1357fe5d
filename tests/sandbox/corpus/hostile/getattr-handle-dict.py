# error AttributeError
result = getattr(image, "__dict__")
