# error AttributeError
result = getattr("a".replace, "__func__")
