# error ValueError
result = str.format("{0.__class__}", detect)
