# killed sequence
x = "%999999999d"
x %= 3
result = x
