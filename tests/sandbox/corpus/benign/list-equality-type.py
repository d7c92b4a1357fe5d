# ok
f = list
g = int
result = f is list, f == list, g is int, [t("3") for t in (int, float, str)], [t([1, 1]) for t in (list, tuple, set, frozenset)], list is tuple
