# rejected undefined-name
from typing import Union
Number = Union[int, float]
result = 1
