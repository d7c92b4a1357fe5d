# killed
xs = [[0] * 10 ** 5]
for x in xs:
    xs.append(x * 1)
result = 1
