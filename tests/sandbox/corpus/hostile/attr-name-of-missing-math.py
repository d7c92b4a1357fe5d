# error AttributeError
result = getattr(math, "sys")
