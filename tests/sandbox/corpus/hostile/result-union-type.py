# error TypeError
result = int | str
