# rejected forbidden-import
try:
    import os
except Exception:
    os = None
result = 1
