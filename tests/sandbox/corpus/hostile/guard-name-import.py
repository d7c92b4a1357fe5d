# rejected forbidden-name
from math import sqrt as _getattr_
result = 1
