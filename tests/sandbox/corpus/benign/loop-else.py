# ok
out = []
for n in range(2, 20):
    for k in range(2, n):
        if n % k == 0:
            break
    else:
        out.append(n)
i = 0
while i < 3:
    i += 1
    if i == 10:
        break
else:
    out.append("done")
result = out
