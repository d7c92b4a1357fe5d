# error AttributeError
try:
    1 / 0
except ZeroDivisionError as e:
    result = getattr(e, "__traceback__")
