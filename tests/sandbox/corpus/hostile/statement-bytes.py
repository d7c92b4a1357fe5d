# rejected forbidden-expression
result = b"abc"
