# ok
def solve(values):
    return sum(values)


total = solve([1, 2, 3])
