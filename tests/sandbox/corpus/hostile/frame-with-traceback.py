# rejected forbidden-attribute
try:
    1 / 0
except ZeroDivisionError as e:
    result = e.with_traceback(None)
