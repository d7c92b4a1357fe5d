# killed sequence
result = ("\t" * 1000).expandtabs(10 ** 8)
