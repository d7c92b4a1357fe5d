# ok
result = "\N{DEGREE SIGN}" + "é".upper()
