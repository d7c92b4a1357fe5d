# ok
def answer(image):
    try:
        fail("backend is down")
    except Exception as e:
        return "failed"
    return "fine"
