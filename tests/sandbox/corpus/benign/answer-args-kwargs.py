# ok
def answer(image, *args, **kwargs):
    return image.width, args, kwargs
