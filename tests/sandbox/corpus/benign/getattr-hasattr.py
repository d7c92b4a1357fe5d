# ok
def answer(image):
    return getattr(image, "width"), hasattr(image, "width"), hasattr(image, "nope"), getattr(image, "nope", 3), hasattr([], "append")
