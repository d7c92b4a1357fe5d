# rejected forbidden-import
import ctypes
result = ctypes.CDLL(None)
