# rejected forbidden-import
import math.os
result = 1
