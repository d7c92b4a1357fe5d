# error AttributeError
try:
    next(iter([]))
except StopIteration as e:
    result = getattr(e, "value")
