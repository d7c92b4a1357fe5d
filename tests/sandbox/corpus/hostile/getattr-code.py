# error AttributeError
result = getattr((lambda: 1), "__code__")
