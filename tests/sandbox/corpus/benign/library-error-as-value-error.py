# ok
def answer(image):
    try:
        return largest([])
    except ValueError as e:
        return "empty"
