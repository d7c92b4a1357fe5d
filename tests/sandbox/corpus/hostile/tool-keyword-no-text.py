# error TypeError
result = echo(**{1: 2})
