# ok
def f():
    xs = [1, 2]
    return *xs, 3
result = f(), (*"ab",), [*{}, *()], {"a": 1, **{}}
