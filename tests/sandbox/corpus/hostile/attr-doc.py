# rejected forbidden-attribute
result = str.__doc__
