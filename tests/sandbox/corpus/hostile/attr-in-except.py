# rejected forbidden-attribute
try:
    1 / 0
except Exception.__base__:
    result = 1
