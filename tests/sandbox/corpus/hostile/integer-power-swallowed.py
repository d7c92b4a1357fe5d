# killed integer
try:
    x = 2 ** 10 ** 10
except Exception:
    x = 0
result = x
