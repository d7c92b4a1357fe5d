# rejected wrong-inputs
def answer(image, video):
    return 1
