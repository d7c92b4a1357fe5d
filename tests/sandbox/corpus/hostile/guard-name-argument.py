# rejected forbidden-name
def f(_getattr_, /):
    return _getattr_
result = f(1)
