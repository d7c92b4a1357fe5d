# rejected forbidden-statement
with image as f:
    pass
result = 1
