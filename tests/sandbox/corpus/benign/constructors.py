# ok
result = [int("12"), int(3.9), int("ff", 16), float("1.5"), float("inf") > 1, str(1.0), str(None), bool([]), list("abc"), tuple([1]), set("aab"), frozenset([1, 1]), dict(a=1), list({"x": 1}), int(), str(), list(), tuple(), set(), dict(), float(), bool(), int(True), list(range(3)), tuple(i for i in range(2))]
