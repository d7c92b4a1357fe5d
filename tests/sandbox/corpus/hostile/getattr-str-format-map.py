# error AttributeError
result = getattr("{a}", "format_map")({"a": 1})
