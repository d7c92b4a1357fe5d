# ok
def f(x, seen=[]):
    seen.append(x)
    return list(seen)
def answer(image):
    return f(1), f(2)
