# ok
def answer(image):
    total = [0]
    def child(n):
        total[0] += n
        return n
    total[0] += child(5)
    return total
