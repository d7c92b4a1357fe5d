# error ValueError
def answer(image):
    raise ValueError("no such thing")
