# rejected forbidden-expression
x: (y := [1]) = 1
result = 1
