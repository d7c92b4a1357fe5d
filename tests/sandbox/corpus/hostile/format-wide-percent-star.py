# error ValueError
result = "%*d" % (999999999, 1)
