# rejected forbidden-import
from . import worker
result = worker
