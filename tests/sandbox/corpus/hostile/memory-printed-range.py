# killed memory
print(*range(10 ** 9))
result = 1
