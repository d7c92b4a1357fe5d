# ok
import math
from math import sqrt, pi as PI
import math as m
def answer(image):
    return round(math.hypot(3, 4), 3), sqrt(16), round(PI, 4), m.floor(2.7), math.ceil(2.1), math.isclose(0.1 + 0.2, 0.3), math.inf > 1, math.gcd(12, 18), math.factorial(10), math.comb(5, 2), math.prod([1, 2, 3]), math.dist((0, 0), (3, 4)), math.degrees(math.pi), math.atan2(1, 1), math.trunc(-2.5), math.lcm(4, 6), math.perm(5, 2), math.isnan(math.nan)
