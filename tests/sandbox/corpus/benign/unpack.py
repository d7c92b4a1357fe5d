# ok
(a, b), c = (1, 2), 3
first, *mid, last = range(6)
x = y = 4
x, y = y + 1, x
for i, (k, v) in enumerate({"p": 1, "q": 2}.items()):
    last += i * v
[p, q] = "hi"
*init, tail = "abc"
result = a, b, c, first, mid, last, x, y, p, q, init, tail
