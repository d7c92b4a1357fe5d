# rejected forbidden-attribute
result = [].append.__self__
