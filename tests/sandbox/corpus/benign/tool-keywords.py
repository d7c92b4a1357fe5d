# ok
def answer(image):
    return len(detect(image, what="cat")), len(detect(what="cat", image=image)), echo(*[1, 2])
