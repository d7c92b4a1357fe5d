# rejected forbidden-import
from os import path
result = path
