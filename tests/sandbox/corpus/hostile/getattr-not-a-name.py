# error TypeError
result = getattr("", 5)
