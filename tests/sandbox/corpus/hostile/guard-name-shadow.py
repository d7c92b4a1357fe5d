# rejected forbidden-name
_getattr_ = lambda o, n: o
result = 1
