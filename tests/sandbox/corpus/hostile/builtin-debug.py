# rejected forbidden-name
__debug__ = 1
result = 1
