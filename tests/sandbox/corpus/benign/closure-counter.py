# ok
def answer(image):
    count = [0]
    def visit(n):
        count[0] += 1
        if n > 0:
            visit(n - 1)
            visit(n - 2)
    visit(6)
    return count[0]
