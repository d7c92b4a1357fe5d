# error TypeError
result = echo(**{"0": 1})
