# error ValueError
result = getattr("{0.__class__}", "format")(1)
