# error ValueError
raise ValueError("x" * 100000)
result = 1
