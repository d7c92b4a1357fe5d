# error TypeError
result = echo(**{"__class__": 1})
