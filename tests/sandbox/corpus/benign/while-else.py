# ok
def answer(image):
    n = 5
    while n > 0:
        n -= 1
        if n == 10:
            break
        if n % 2:
            continue
    else:
        return "finished", n
    return "broken"
