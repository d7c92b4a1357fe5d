# ok
out = []
for err in (KeyError("a"), IndexError("b"), ZeroDivisionError("c"), OverflowError("d"), UnicodeError("u"), RecursionError("r") if False else RuntimeError("r"), NotImplementedError("n")):
    try:
        raise err
    except LookupError:
        out.append("lookup")
    except ArithmeticError:
        out.append("arith")
    except NotImplementedError:
        out.append("notimpl")
    except RuntimeError:
        out.append("runtime")
    except ValueError:
        out.append("value")
result = out
