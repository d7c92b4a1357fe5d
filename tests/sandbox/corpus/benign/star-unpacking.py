# ok
def answer(image):
    first, *middle, last = range(6)
    xs = [*middle, *"ab", last]
    d = {**{"a": 1}, **{"b": 2}}
    for i, (a, *b) in enumerate([(1, 2, 3), (4,)]):
        xs.append((i, a, b))
    return first, xs, d, (*xs[:1], 0), {*"aa"}, max(*[1, 2])
