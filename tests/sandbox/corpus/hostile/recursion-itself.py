# killed recursion
result = (lambda f: f(f))(lambda f: f(f))
