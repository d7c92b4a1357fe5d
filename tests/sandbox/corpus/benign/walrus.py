# ok
def answer(image):
    if (n := len("abcd")) > 3:
        out = [n]
    while (n := n - 1) > 0:
        out.append(n)
    return out, [y for x in range(5) if (y := x * 2) > 3]
