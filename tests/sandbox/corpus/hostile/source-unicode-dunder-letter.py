# rejected forbidden-attribute
result = "".__ｃlass__
