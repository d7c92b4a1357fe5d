# rejected forbidden-expression
x: f"{open(1)}" = 1
result = 1
