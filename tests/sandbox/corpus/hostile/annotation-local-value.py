# rejected forbidden-expression
def f() -> {"a": 1}["a"]:
    return 1
result = f()
