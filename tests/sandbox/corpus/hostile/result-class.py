# error TypeError
result = ValueError
