# ok
def f(a, /, b, *args, c=3, **kwargs):
    return a, b, args, c, kwargs
def answer(image):
    return f(1, 2), f(1, 2, 3, c=4, d=5), f(*[1, 2, 3], **{"c": 9, "e": 0})
