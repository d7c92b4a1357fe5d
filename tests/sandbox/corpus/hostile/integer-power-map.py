# killed integer
result = list(map(pow, [7], [10 ** 9]))
