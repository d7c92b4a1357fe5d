# error AttributeError
def f():
    return 1
result = f.args
