# ok
def answer(image):
    return True + True, sum([True, False, True]), True * 3, "ab" * True, int(True), max(False, True), True & False, not 0
