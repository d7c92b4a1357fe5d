# error AttributeError
result = getattr(slice(1), "indices")(5)
