# error TypeError
result = {"a": [detect]}
