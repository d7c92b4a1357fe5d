# ok
def answer(image):
    parts = []
    for i, r in enumerate(detect(image, "cup"), start=1):
        parts.append(f"{i}. {r.label} at ({r.box.left}, {r.box.top})")
    return "\n".join(parts) or "nothing"
