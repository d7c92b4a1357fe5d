# killed recursion
def f():
    try:
        return f()
    except:
        return f()
result = f()
