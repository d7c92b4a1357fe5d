# ok
result = getattr("", "__class__", "no")
