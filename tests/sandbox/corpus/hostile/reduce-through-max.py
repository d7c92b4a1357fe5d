# error AttributeError
result = max([""], key=lambda s: getattr(s, "__len__")())
