# ok
def answer(img):
    return img.width
