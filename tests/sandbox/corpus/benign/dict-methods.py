# ok
def answer(image):
    d = {"a": 1, "b": 2}
    d.update(c=3)
    d.setdefault("d", []).append(4)
    e = {**d, "z": 26}
    items = sorted(d.items(), key=lambda kv: str(kv[1]))
    return d.get("x", 0), d.pop("a"), list(d), list(d.values()), items, e, "b" in d, len(d), dict(zip("ab", [1, 2])), dict(a=1), dict([("k", "v")]), dict.fromkeys(["x", "y"], 0), {1: "int", (1, 2): "tuple"}
