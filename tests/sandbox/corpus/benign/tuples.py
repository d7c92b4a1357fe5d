# ok
def answer(image):
    t = (1, 2, 3)
    (a, b), [c, *d] = (1, 2), "xyz"
    return t + (4,), t[1:], t.index(2), t.count(1), a, b, c, d, (1,) < (2,), t * 2, tuple("ab"), ()
