# killed sequence
result = "%*d %99999999d" % (3, 1, 2)
