# error TypeError
result = echo(**{"a b": 1})
