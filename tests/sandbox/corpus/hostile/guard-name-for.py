# rejected forbidden-name
for _write_ in [1]:
    pass
result = 1
