# error AttributeError
try:
    [].upper()
except AttributeError as e:
    result = getattr(e, "obj")
