# error KeyError
def answer(image):
    return fail("down")
