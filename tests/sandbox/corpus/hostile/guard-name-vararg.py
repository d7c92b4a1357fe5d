# rejected forbidden-name
def f(*_getitem_, **_write_):
    return 1
result = 1
