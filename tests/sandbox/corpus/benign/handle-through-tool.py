# ok
def answer(image):
    return echo(image) == image, echo([image, {"a": (image,)}])
