# ok
a, b = [], "x"
result = [a or b, a and b, not a, bool(a) is False, None or 0 or "z", 1 and 2, (a or [1])[0], a == [] and b != ""]
