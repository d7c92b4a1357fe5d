# rejected
x = 1import os
result = 1
