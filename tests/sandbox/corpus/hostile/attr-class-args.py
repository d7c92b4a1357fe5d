# error AttributeError
result = ValueError.args
