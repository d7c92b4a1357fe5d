# killed sequence
result = ("a" * 100000).join(["b"] * 100000)
