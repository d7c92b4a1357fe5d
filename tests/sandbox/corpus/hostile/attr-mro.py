# rejected forbidden-attribute
result = Exception.mro()
