# killed integer
result = math.factorial(10 ** 7)
