# ok
def answer(image):
    box = Box(1, 2, 3.5, 4)
    return echo(box) == box, Region(box, "x", image), {box: 1}
