# error AttributeError
result = getattr(Image, "width")
