# killed recursion
def f():
    try:
        f()
    finally:
        return 1
result = f()
