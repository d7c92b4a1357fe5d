# error ValueError
t = "{0:{1.__class__}}"
result = t.format(1, 2)
