# rejected forbidden-statement
@print
def f():
    return 1
result = 1
