# error AttributeError
result = getattr(image, "ｗidth")
