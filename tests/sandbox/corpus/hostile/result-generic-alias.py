# error TypeError
result = list[int]
