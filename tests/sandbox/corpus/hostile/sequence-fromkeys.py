# killed sequence
result = dict.fromkeys(range(10 ** 9))
