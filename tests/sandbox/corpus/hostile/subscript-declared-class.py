# error TypeError
result = Image[0]
