# rejected forbidden-name
result = [_write_ for _write_ in [1]]
