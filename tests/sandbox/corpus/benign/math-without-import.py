# ok
def answer(image):
    return math.sqrt(9), math.e > 2
