# ok
def answer(image):
    g = (x * x for x in range(5))
    first = next(g)
    rest = list(g)
    return first, rest, next((x for x in [] if x), "none"), any(x > 3 for x in rest), all(isinstance(x, int) for x in rest), max((len(w) for w in ["a", "bbb"]), default=0), ",".join(str(x) for x in rest)
