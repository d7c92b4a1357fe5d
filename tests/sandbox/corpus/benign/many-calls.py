# ok
def answer(image):
    return sum(echo(i) for i in range(100))
