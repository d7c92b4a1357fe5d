# error AttributeError
result = getattr(int, "from_bytes")
