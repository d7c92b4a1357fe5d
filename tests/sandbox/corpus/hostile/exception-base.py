# rejected forbidden-name
try:
    result = 1
except BaseException:
    result = 2
