# rejected forbidden-name
def f(o=open):
    return o
result = f()
