# ok
def answer(image):
    x = float("nan")
    return x != x, [float("-inf")], math.isinf(float("inf"))
