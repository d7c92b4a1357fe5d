# error ValueError
result = list(map(str.format, ["{0.__globals__}"], [detect]))
