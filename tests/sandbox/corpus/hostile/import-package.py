# rejected forbidden-import
import visprog.sandbox.worker as w
result = w
