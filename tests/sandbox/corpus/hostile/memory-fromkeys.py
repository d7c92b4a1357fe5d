# killed memory
result = dict.fromkeys(range(10 ** 9))
