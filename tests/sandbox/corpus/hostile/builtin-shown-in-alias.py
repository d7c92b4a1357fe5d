# ok
result = [str(list[f]) for f in (print, getattr, math.comb)]
