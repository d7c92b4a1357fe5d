# error TypeError
def f(**k):
    return k
result = f(**{"_getattr_": 1})["_getattr_"]()
