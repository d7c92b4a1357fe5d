# killed sequence
result = "%(a(b))999999999d" % {"a(b)": 1}
