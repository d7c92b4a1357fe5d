# killed integer
result = math.lcm(*range(1, 10 ** 5))
