# error AttributeError
result = getattr("", "__class__")
