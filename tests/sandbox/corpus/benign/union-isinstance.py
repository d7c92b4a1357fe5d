# ok
result = isinstance(3, int | float), isinstance([1], list | tuple), isinstance("s", str | None), isinstance({}, dict | list | set), isinstance(None, int | None)
