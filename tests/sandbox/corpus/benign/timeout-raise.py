# ok
def f():
    raise TimeoutError("late")
try:
    f()
except TimeoutError as e:
    result = str(e)
