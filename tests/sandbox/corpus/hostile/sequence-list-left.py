# killed sequence
result = 10 ** 10 * [0]
