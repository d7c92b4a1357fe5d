# ok
def answer(image):
    regions = detect(image, "cat")
    if not regions:
        return "none"
    regions = sorted(regions, key=lambda r: r.box.left)
    return regions[0].label
