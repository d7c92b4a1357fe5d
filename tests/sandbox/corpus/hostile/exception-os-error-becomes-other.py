# error AttributeError
try:
    raise OSError(1, "no", "/etc/passwd")
except OSError as e:
    result = getattr(e, "args")
