# ok
def answer(image):
    return len(detect(image, "cat"))
