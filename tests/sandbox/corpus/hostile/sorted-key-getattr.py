# error AttributeError
result = sorted([""], key=lambda s: getattr(s, "__class__"))
