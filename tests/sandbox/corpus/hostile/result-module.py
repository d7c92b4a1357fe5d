# error TypeError
result = math
