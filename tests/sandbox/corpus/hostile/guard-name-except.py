# rejected forbidden-name
try:
    1 / 0
except ZeroDivisionError as _caught_:
    pass
result = 1
