# rejected forbidden-name
d = {1: 2}
d[1] *= 2
result = _tmp0
