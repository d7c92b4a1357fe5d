# error ValueError
result = Box(5, 0, 1, 1)
