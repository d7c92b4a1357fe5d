# rejected forbidden-attribute
result = image.__dict__
