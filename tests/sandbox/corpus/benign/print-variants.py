# ok
print("a", 1, None, True)
print("x", "y", sep="-", end="!\n")
print()
print(*[1, 2, 3], sep=", ")
print([1, "a"], {"k": (1,)}, {1, 2}, 1.0, flush=True)
print(f"{1}", end="")
print(sep="x")
result = None
