# killed sequence
t = "{:>999999999}"
result = t.format(1)
