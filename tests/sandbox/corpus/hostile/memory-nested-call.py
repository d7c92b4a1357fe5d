# killed memory
def f(x):
    try:
        return f(x + x)
    except Exception:
        return 1
result = f("abc" * 100000)
