# ok
def answer(image):
    xs = list(range(10))
    xs[2:5] = ["a"]
    xs[0] = -1
    del xs[-1]
    del xs[1:3]
    xs[::2] = [0] * len(xs[::2])
    return xs
