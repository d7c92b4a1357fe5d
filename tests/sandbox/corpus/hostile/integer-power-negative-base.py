# killed integer
result = (-7) ** 100000
