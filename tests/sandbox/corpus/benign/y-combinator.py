# ok
Y = lambda f: (lambda x: x(x))(lambda x: f(lambda v: x(x)(v)))
result = Y(lambda g: lambda n: 1 if n == 0 else n * g(n - 1))(5)
