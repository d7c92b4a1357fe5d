# ok
def answer(image):
    return 2 ** 200, math.factorial(40), 10 ** 50 // 3, -(2 ** 64), 1 << 100
