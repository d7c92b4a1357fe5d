# rejected forbidden-import
import sys
result = sys.modules
