# rejected forbidden-name
for _getitem_ in [1]:
    pass
result = 1
