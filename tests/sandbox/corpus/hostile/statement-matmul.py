# rejected forbidden-expression
result = [1] @ [2]
