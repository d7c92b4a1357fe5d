# ok
def answer(image):
    out = []
    for f in [lambda: 1 / 0, lambda: [][0], lambda: {}["a"], lambda: int("x"), lambda: None + 1, lambda: next(iter([])), lambda: "a".index("z"), lambda: 2.0 ** 10000, lambda: undefined_attr(1)]:
        try:
            f()
        except ArithmeticError:
            out.append("arithmetic")
        except (LookupError, StopIteration):
            out.append("lookup")
        except Exception as e:
            out.append(str(e)[:20])
    return out
def undefined_attr(x):
    raise NotImplementedError("later")
