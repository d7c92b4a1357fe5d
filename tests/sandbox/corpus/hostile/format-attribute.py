# rejected forbidden-expression
result = "{0.__class__}".format("")
