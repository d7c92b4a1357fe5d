# error TypeError
try:
    1 / 0
except "ZeroDivisionError":
    pass
result = 1
