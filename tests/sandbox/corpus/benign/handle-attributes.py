# ok
def answer(image):
    return f"{image.width}x{image.height}", image.root.root is image, image.width * image.height
