# killed recursion
def f(n):
    try:
        f(n + 1)
    except:
        f(n + 1)
f(0)
result = 1
