# rejected forbidden-import
import importlib
result = importlib.import_module("os")
