# ok
def answer(image, threshold=0.5, *, names=("a", "b")):
    return threshold, names
