# rejected forbidden-statement
def f():
    global detect
    detect = 1
f()
result = 1
