# rejected
import math as _getattr_
result = 1
