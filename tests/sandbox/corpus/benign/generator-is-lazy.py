# ok
def answer(image):
    seen = []
    def note(x):
        seen.append(x)
        return x
    found = next(note(x) for x in range(10) if x > 2)
    return found, seen
