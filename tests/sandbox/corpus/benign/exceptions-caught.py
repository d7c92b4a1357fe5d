# ok
out = []
for f in [lambda: [][0], lambda: {}["a"], lambda: 1 / 0, lambda: int("x"), lambda: "a" + 1, lambda: len(3)]:
    try:
        f()
    except (IndexError, KeyError) as e:
        out.append(("lookup", str(e)))
    except ZeroDivisionError as e:
        out.append(("zero", str(e)))
    except ValueError as e:
        out.append(("value", str(e)))
    except TypeError as e:
        out.append(("type", str(e)))
    except AttributeError as e:
        out.append(("attr", str(e)))
    except Exception as e:
        out.append(("other", str(e)))
result = out
