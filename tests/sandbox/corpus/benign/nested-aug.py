# ok
grid = [[0] * 3 for _ in range(3)]
for i in range(3):
    for j in range(3):
        grid[i][j] += i * j
        grid[i][j] *= 2
counts = {"a": {"x": 1}}
counts["a"]["x"] += 1
counts["a"]["x"] <<= 3
result = grid, counts
