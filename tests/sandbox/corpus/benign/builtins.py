# ok
def answer(image):
    return [abs(-3), all([]), any([0, 1]), bool(""), chr(65), divmod(7, 2), float("2.5"), format(3.14159, ".2f"), int("42"), int(3.9), int("ff", 16), len("abc"), max(3, 1, 2), max([1, 5], key=lambda x: -x), min("b", "a"), min([], default=None), ord("a"), pow(2, 10), pow(3, 4, 5), repr("q"), round(2.567, 2), round(2.5), round(1234, -2), sorted([3, 1], reverse=True), str(12), sum([1, 2], 10), hex(255), bin(5), oct(8), list("ab"), list(range(3)), range(5)[2], slice(1, 5).start]
