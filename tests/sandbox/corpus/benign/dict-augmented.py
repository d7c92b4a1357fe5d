# ok
def answer(image):
    d = {}
    for w in "the cat and the dog and the bird".split():
        if w not in d:
            d[w] = 0
        d[w] += 1
    d["the"] *= 10
    d["and"] -= 1
    d["x"] = [1]
    d["x"] += [2]
    d["x"] *= 2
    d["s"] = "a"
    d["s"] += "b"
    d["p"] = 3
    d["p"] **= 2
    d["p"] //= 2
    d["p"] %= 3
    return d
