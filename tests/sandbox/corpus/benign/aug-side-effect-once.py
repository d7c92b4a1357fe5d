# ok
calls = []
def idx():
    calls.append(1)
    return 0
xs = [2, 3]
xs[idx()] *= 5
xs[idx()] <<= 1
xs[idx()] %= 7
xs[idx()] += 1
result = xs, len(calls)
