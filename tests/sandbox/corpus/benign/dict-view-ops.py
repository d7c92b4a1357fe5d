# ok
a, b = {"x": 1, "y": 2}, {"y": 2, "z": 3}
result = sorted(a.keys() & b.keys()), sorted(a.keys() - b.keys()), sorted(a.keys() | b), a.items() & b.items(), a.keys() == {"x", "y"}, "x" in a.keys(), 2 in a.values(), ("x", 1) in a.items()
