# rejected forbidden-import
from math import __loader__
result = __loader__
