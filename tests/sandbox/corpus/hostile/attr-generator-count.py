# error AttributeError
result = (i for i in [1]).count(1)
