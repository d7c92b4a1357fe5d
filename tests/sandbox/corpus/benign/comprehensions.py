# ok
def answer(image):
    return [x * y for x in range(3) for y in range(3) if x != y], {k: v for k, v in zip("abc", range(3))}, {c for c in "hello"}, [[j for j in range(i)] for i in range(4)], sum(x for x in range(10) if x % 2), [a + b for a, b in [(1, 2), (3, 4)]], [x for x in [1, 2] if x if x > 1]
