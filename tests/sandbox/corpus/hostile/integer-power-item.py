# killed integer
x = [10]
x[0] **= 100000
result = x
