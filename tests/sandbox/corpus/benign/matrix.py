# ok
def answer(image):
    m = [[1, 2, 3], [4, 5, 6]]
    t = [list(row) for row in zip(*m)]
    flat = [x for row in m for x in row]
    return t, flat, sum(map(sum, m)), max(max(row) for row in m), [row[::-1] for row in m]
