# ok
def answer(image):
    r = detect(image, "cat")[0]
    return isinstance(r, Region), isinstance(r.box, (Box, str)), isinstance(image, Image), isinstance(r, Box)
