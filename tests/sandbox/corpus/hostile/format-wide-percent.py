# killed sequence
result = "%999999999d" % 1
