# ok
THRESHOLD = 0.5
def is_big(region):
    return region.box.area > THRESHOLD
def names(regions):
    return [r.label for r in regions if is_big(r)]
def answer(image):
    return names(detect(image, "car"))
