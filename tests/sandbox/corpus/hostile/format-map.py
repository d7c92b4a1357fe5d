# rejected forbidden-attribute
result = "{a}".format_map({"a": 1})
