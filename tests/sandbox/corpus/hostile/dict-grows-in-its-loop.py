# error RuntimeError
d = {0: 0}
for k in d:
    d[k + 1] = 0
result = d
