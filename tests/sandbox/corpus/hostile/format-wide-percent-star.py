# killed sequence
result = "%*d" % (999999999, 1)
