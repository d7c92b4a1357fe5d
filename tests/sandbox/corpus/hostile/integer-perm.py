# killed integer
result = math.perm(10 ** 6)
