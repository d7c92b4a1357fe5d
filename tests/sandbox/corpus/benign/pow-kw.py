# ok
result = pow(base=2, exp=3), pow(2, 3, mod=5), round(number=2.567, ndigits=1)
