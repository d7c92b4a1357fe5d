# error AttributeError
result = list(map(getattr, [""], ["__class__"]))
