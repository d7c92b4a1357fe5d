# killed sequence
result = "%(a)999999999d" % {"a": 1}
