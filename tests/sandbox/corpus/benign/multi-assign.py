# ok
def answer(image):
    a = b = [1]
    c, d = d0, c0 = 1, 2
    a, b = b, a
    (x, y), z = [1, 2], 3
    for i, j in [(1, 2), (3, 4)]:
        x += i * j
    return a is b, c, d, d0, c0, x, y, z
