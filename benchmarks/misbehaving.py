"""Tools of which some hang, crash, leak or flood: a module that tool processes can import."""

from __future__ import annotations

import ctypes
import os
import time

from visprog import Image, Region, tool
from visprog.values import Box

kept: list[bytes] = []
MISDEEDS = {
    "hang": "took more than",
    "loop": "took more than",
    "hold": "took more than",
    "segfault": "crashed the process",
    "abort": "crashed the process",
    "exit": "crashed the process",
    "raise": "ZeroDivisionError",
    "flood": "262144 are allowed",
    "leak": "",
    "print": "",
}
"""What each misdeed must end with: a part of the answer's message, or nothing if the program is answered."""


@tool(cache=False)
def measure(image: Image, number: int) -> int:
    """Width of the image times a number."""
    return image.width * number


@tool(cache=False)
def find(image: Image, number: int) -> list[Region]:
    """So many regions in the image."""
    return [Region(Box(i, i, i + 5, i + 5), f"thing {i}", 0.5, image.root) for i in range(number)]


@tool(cache=False)
def misbehave(image: Image, how: str) -> str:
    """Misbehaves as it is told."""
    match how:
        case "hang":
            time.sleep(600)
        case "loop":
            while True:
                pass
        case "hold":  # keeps the interpreter to itself
            ctypes.PyDLL(None).sleep(600)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(1)
        case "raise":
            return str(1 // 0)
        case "leak":
            kept.append(b"x" * (40 << 20))
        case "flood":
            return "x" * 400_000
        case "print":
            os.write(2, b"")
    return how
