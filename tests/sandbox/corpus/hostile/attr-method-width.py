# error AttributeError
result = detect.width
