# ok
def answer(image):
    big = largest(detect(image, "dog"))
    return big.box, big.box.area, big.image is image
