# rejected forbidden-attribute
f = lambda x="".__class__: x
result = f()
