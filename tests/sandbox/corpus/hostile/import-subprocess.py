# rejected forbidden-import
import subprocess
result = subprocess.run(["id"])
