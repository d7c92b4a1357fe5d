# rejected syntax-error
def answer(image, image):
    return 1
