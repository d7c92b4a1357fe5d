# killed integer
x = 10
x **= 100000
result = x
