# ok
def check(x):
    if x < 0:
        raise ValueError("negative")
    return x
def answer(image):
    out = []
    try:
        try:
            check(-1)
        except ValueError as e:
            out.append(str(e))
            raise
    except ValueError as e:
        out.append(e.args)
    try:
        raise KeyError("k") from None
    except KeyError as e:
        out.append(repr(e))
    return out
