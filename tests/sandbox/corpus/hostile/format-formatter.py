# rejected forbidden-import
from string import Formatter
result = Formatter().format("{0.__class__}", 1)
