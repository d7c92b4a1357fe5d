# error TypeError
try:
    1 / 0
except ZeroDivisionError as e:
    result = echo(e)
