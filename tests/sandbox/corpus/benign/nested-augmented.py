# ok
def answer(image):
    grid = [[0] * 3 for _ in range(3)]
    for i in range(3):
        for j in range(3):
            grid[i][j] += i * j
            grid[i][-1] *= 2
    return grid
