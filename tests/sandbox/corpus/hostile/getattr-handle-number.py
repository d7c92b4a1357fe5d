# error AttributeError
result = getattr(image, "number")
