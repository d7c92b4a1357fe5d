# ok
def answer(image):
    return "{} {}".format(1, "a"), "{1}{0}".format("a", "b"), "{x:>5}|{y!r}".format(x=3, y="q"), "{:{}}".format(5, 4), "{{}}".format(), "{:.2f} {:,}".format(2.5, 10000)
