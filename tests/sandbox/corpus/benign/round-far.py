# ok
result = round(2.5, 10 ** 6), round(7, 10 ** 6), round(1234, -2), round(-0.5), round(number=2.567, ndigits=1)
