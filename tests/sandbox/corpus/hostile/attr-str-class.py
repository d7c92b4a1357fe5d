# rejected forbidden-attribute
result = "".__class__.__mro__
