# rejected forbidden-expression
x: __import__("os").system("id") = 1
result = x
