# ok
def answer(image):
    def nothing():
        return
    return nothing(), None is None, [None, True, False]
