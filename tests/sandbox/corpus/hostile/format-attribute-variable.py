# error ValueError
t = "{0.__class__}"
result = t.format(1)
