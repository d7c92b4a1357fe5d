# error AttributeError
result = "".join.args
