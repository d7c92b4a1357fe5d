# error ValueError
f = str.format
result = f("{.__class__}", 1)
