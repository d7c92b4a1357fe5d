# ok
rows = [{"n": "b", "s": 2.0}, {"n": "a", "s": 2.0}, {"n": "c", "s": 9}]
rows.sort(key=lambda r: (-r["s"], r["n"]))
result = [r["n"] for r in rows]
