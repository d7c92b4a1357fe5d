# rejected forbidden-import
import os
result = os.getcwd()
