# error AttributeError
result = getattr(list[int], "append")
