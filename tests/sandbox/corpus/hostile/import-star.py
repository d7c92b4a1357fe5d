# rejected forbidden-import
from math import *
result = 1
