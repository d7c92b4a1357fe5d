# ok
def answer(image):
    x = 1
    y = {"a": 1, "b": 2}
    del x, y["a"]
    if y:
        pass
    def todo(): ...
    return y, todo()
