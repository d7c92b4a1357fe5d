# ok
def answer(image):
    groups = {}
    for r in detect(image, "cat") + detect(image, "dog"):
        groups.setdefault(r.label, []).append(r.box.left)
    return {k: sorted(v) for k, v in groups.items()}
