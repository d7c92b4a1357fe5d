# ok
def answer(image):
    out = []
    for x in [1, 0, "a", None, [], {}]:
        try:
            y = 10 / x
        except ZeroDivisionError:
            out.append("zero")
        except (TypeError, ValueError) as e:
            out.append("type")
        else:
            out.append(y)
        finally:
            out.append("f")
    try:
        out[99]
    except LookupError as e:
        out.append(str(e))
    return out
