# ok
def answer(image):
    sum = 0
    for list in [[1, 2], [3]]:
        for max in list:
            sum += max
    return sum
