# rejected forbidden-attribute
d = {}
d["".__class__] = 1
result = 1
