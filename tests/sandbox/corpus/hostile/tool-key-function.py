# killed calls
result = sorted(range(1000), key=echo)
