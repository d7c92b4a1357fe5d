# rejected forbidden-attribute
result = int.__subclasses__()
