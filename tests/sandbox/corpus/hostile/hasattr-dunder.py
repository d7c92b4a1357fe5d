# ok
result = hasattr("", "__class__")
