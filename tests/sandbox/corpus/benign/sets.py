# ok
def answer(image):
    a, b = {1, 2, 3}, set([2, 3, 4])
    a.add(5)
    b.discard(9)
    return a & b, a | b, a - b, a ^ b, a <= b, {x % 2 for x in a}, frozenset([1]), a.union([7]), len(a), 2 in a, set()
