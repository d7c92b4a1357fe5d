# ok
def helper(x):
    print("helper", x)
    return x
def answer(image):
    print()
    print("a", 1, None, [2], sep="-", end="!\n")
    xs = [helper(i) for i in range(2)]
    print(*xs, flush=True)
    print(f"{image.width}")
    return xs
