# killed sequence
result = "{:{}}".format(1, 99999999)
