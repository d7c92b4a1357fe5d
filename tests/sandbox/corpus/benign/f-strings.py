# ok
def answer(image):
    x, name, w = 3.14159, "cat", 10
    return f"{x:.2f}|{x:>{w}.3f}|{name!r:>8}|{name:^7}|{1000000:,}|{0.5:.0%}|{7:03d}|{255:#x}|{name!s}|{x=}|{{}}"
