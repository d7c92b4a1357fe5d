# ok
def answer(image):
    return {"a": [{"b": ({"c": [1, (2, 3)]},)}], "$h": 3, 4: {5: {6}}, None: True, (1, "x"): [image]}
