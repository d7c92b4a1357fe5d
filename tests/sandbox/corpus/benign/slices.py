# ok
xs = list(range(10))
s = "abcdefg"
result = [xs[::2], xs[::-1], xs[-3:], xs[:-3], s[::-1], s[1:5:2], xs[100:], (1, 2, 3)[1:], range(10)[2:5] == range(2, 5)]
