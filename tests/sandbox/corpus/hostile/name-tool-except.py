# rejected rebound-tool
try:
    1 / 0
except ZeroDivisionError as detect:
    pass
result = 1
