# ok
from __future__ import annotations
result = 1
