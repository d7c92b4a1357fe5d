# error TypeError
result = ValueError("x")
