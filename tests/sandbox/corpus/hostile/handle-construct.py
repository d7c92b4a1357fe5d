# error TypeError
result = Image(5)
