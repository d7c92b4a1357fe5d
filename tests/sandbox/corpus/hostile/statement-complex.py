# rejected forbidden-expression
result = 1j
