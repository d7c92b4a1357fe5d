# rejected forbidden-attribute
def f(x: int):
    return x
result = f.__annotations__
