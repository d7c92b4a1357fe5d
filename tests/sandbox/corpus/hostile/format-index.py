# rejected forbidden-expression
result = "{0[0]}".format([1])
