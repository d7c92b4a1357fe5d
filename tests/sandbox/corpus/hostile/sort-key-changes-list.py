# error ValueError
xs = [3, 1, 2]
def key(x):
    xs.append(x)
    return x
xs.sort(key=key)
result = xs
