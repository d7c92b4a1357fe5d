# ok
def answer(image):
    out = []
    for t in ["{} {}", "{0} {}", "{x}", "{!z}", "{"]:
        try:
            out.append(t.format(1))
        except (IndexError, KeyError, ValueError) as e:
            out.append("error")
    return out
