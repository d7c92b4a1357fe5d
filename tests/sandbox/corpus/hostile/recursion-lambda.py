# killed recursion
f = lambda n: f(n)
result = f(1)
