# error TypeError
result = Image(number=0)
