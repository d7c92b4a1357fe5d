# rejected forbidden-expression
print("x", file=image)
result = 1
