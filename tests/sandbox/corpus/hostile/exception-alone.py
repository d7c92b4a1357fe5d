# error ValueError
raise ValueError("no result either")
