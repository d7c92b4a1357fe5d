# ok
def answer(image):
    total = 0
    for _ in range(3):
        total += 1
    a, _, b = 1, 2, 3
    return total, a, b, [0 for _ in range(2)]
