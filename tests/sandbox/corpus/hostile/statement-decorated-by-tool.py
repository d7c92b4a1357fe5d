# rejected forbidden-statement
@detect
def f():
    return 1
result = 1
