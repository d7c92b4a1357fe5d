# ok
def answer(image):
    d = {"a": 1, "b": 2}
    return d.keys() & {"a"}, list(d.keys()), sorted(d.values()), ("a", 1) in d.items(), len(d.keys())
