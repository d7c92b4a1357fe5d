# error TypeError
result = "%(a)*d" % {"a": 1}
