# rejected forbidden-attribute
result = (x := "").__class__
