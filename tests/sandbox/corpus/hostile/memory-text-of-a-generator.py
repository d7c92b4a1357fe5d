# killed
result = "".join("x" * 10 ** 6 for i in range(10 ** 9))
