# ok
def answer(image):
    x = 5
    a = 0 < x < 10 != 3
    b = "big" if x > 10 else "mid" if x > 3 else "small"
    c = x == 5 and not x != 5 or False
    d = x is not None
    e = None or [] or "last"
    return a, b, c, d, e, x in (1, 5), not x
