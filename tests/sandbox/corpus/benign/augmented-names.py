# ok
def answer(image):
    n, s, xs = 10, "a", [1]
    ys = xs
    n += 1; n -= 2; n *= 3; n //= 2; n **= 2; n %= 100; n <<= 2; n >>= 1; n |= 1; n &= 255; n ^= 7
    s += "b"; s *= 2
    xs += [2]
    xs *= 2
    f = 1.0
    f /= 4
    return n, s, xs, ys is xs, f
