# ok
def answer(image):
    xs = [3, 1, 2]
    xs.append(5)
    xs.extend([4, 4])
    xs.insert(0, 9)
    xs.remove(4)
    p = xs.pop()
    q = xs.pop(0)
    xs.sort(reverse=True)
    ys = xs.copy()
    ys.reverse()
    return xs, ys, p, q, xs.index(2), xs.count(1), [1, 2] + [3], [0] * 3, xs[1:], xs[-1]
