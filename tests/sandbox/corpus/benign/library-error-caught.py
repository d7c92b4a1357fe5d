# ok
def answer(image):
    try:
        return largest([])
    except NothingFound as e:
        return f"nothing: {e}"
