# error TypeError
result = [1].append
