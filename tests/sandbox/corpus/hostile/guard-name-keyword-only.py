# rejected forbidden-name
def f(*, _write_):
    return 1
result = 1
