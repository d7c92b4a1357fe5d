# rejected no-answer
def solve(image):
    return 1
