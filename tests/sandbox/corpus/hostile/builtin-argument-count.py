# ok
def text(call):
    try:
        call()
    except TypeError as error:
        return str(error)
result = [text(c) for c in (lambda: getattr(1), lambda: round(), lambda: "a".join(), lambda: "a".center(), lambda: math.comb(1), lambda: pow(2), lambda: isinstance(1), lambda: hasattr(1), lambda: format())]
