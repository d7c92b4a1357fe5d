# killed sequence
result = "%.*f" % (10 ** 6, 1.5)
