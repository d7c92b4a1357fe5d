# ok
print(list, dict, set, tuple, frozenset)
result = str(list), f"{dict}", "%s" % tuple
