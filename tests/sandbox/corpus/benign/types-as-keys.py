# ok
table = {int: "int", str: "str", list: "list", dict: "dict"}
result = table[int], table[list], table.get(float), [k for k, t in [("a", int), ("b", str)] if isinstance("x", t)]
