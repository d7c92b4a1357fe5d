# killed memory
s = [[]]
for i in range(40):
    s = s + [x + [i] for x in s]
result = len(s)
