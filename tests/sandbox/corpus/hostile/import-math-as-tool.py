# rejected rebound-tool
from math import sqrt as detect
result = 1
