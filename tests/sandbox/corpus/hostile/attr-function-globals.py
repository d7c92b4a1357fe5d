# rejected forbidden-attribute
def f():
    return 1
result = f.__globals__
