# rejected syntax-error
def answer(image:
    return
