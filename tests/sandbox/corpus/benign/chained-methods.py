# ok
def answer(image):
    return " A-b ".strip().lower().replace("-", " ").split()[0].upper().join(["x", "y"])
