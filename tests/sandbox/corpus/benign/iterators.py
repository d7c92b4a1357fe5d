# ok
def answer(image):
    it = iter([1, 2, 3])
    a = next(it)
    pairs = list(zip(it, it))
    return a, pairs, next(iter({"k": 1})), list(enumerate("ab", 1)), list(reversed([1, 2])), list(map(lambda x, y: x + y, [1, 2], [3, 4])), list(filter(None, [0, 1, ""])), next(iter([]), 5)
