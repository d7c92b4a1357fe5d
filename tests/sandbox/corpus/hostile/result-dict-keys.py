# error TypeError
result = {"a": 1}.keys()
