# rejected forbidden-attribute
result = len.__self__.open
