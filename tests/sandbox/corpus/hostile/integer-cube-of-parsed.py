# killed integer
result = int("f" * 10 ** 6, 16) ** 3
