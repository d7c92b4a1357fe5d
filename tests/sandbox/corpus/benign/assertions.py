# ok
def answer(image):
    assert 1 + 1 == 2, "math works"
    try:
        assert [], "empty"
    except AssertionError as e:
        return str(e)
