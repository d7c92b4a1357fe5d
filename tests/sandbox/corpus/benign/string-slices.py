# ok
def answer(image):
    s = "abcdefgh"
    return s[0], s[-1], s[2:5], s[::-1], s[::2], s[10:], s * 2, "b" in s, "zz" not in s, s < "b"
