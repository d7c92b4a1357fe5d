# error KeyError
result = "%(a.__class__)s" % {"a": 1}
