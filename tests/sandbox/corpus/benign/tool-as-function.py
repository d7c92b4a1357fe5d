# ok
def answer(image):
    return list(map(echo, [1, 2])), [f(3) for f in [echo, abs]]
