# ok
#  import os import os import os
result = 1
