# error ValueError
t = "{x.__init__.__globals__}"
result = t.format(x=detect)
