# killed sequence
x = "a" * 100000
result = x.replace("a", x)
