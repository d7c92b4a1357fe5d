# killed integer
from math import factorial as f
result = f(10 ** 9)
