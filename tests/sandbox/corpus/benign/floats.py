# ok
def answer(image):
    return 0.1 + 0.2, 1e300 * 10, -1e-7, 3 / 2, 7 // 2.0, float("inf"), 2 ** -1, 2 ** 0.5, round(2.675, 2), (1.5).is_integer(), 1e16
