# killed sequence
result = "%.999999999f" % 1.5
