# error ValueError
t = "{0[a]}"
result = t.format({"a": 1})
