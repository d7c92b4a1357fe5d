# killed sequence
result = list(map(str.zfill, ["1"], [10 ** 9]))
