# rejected forbidden-import
import builtins
result = builtins.open
