# ok
def f():
    try:
        return "try"
    finally:
        print("finally")
def g():
    for i in range(3):
        try:
            continue
        finally:
            print(i)
    return "g"
def answer(image):
    return f(), g()
