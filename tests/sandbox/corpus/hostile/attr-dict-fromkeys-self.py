# error AttributeError
result = getattr(dict.fromkeys, "__self__")
