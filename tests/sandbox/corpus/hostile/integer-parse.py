# error ValueError
result = int("9" * 100000)
