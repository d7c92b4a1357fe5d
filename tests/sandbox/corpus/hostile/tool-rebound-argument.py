# rejected rebound-tool
def f(detect):
    return detect
result = f(1)
