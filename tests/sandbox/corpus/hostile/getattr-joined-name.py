# error AttributeError
result = getattr([], "__" + "class" + "__")
