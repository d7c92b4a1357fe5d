# error TypeError
result = [1, {"a": (2, lambda: 3)}]
