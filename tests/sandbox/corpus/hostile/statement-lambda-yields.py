# rejected forbidden-expression
result = lambda: (yield)
