# rejected undefined-name
from typing import sys
result = sys.modules
