# ok
def answer(image):
    return image.width
result = answer(image) + 1
