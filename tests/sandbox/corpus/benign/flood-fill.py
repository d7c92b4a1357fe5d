# ok
grid = ["..#", ".##", "..."]
seen = set()
def fill(r, c):
    if not (0 <= r < 3 and 0 <= c < 3) or (r, c) in seen or grid[r][c] == "#":
        return 0
    seen.add((r, c))
    return 1 + fill(r + 1, c) + fill(r - 1, c) + fill(r, c + 1) + fill(r, c - 1)
result = fill(0, 0)
