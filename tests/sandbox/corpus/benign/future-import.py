# ok
from __future__ import annotations
def answer(image):
    x: Undefined = 3
    return x
