"""Number of pixels of the images and masks that the tools make in a run."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray

from .cache import pixel_arrays

CHANNELS = 3
"""Bytes of memory of a pixel of an image. One of a mask has one of them."""


class NewPixels:
    """Counts what the results of calls hold in memory that no argument or earlier result held. Safe in many threads."""

    def __init__(self) -> None:
        self._known: dict[int, NDArray[Any]] = {}  # holds the arrays, so that no other has their identity
        self._number = 0
        self._lock = threading.Lock()

    def count(self, arguments: Any, result: Any) -> int:
        """Add the result of a call.

        Returns:
            Number of pixels made so far: bytes of memory over the three of a pixel.
        """
        given, made = pixel_arrays(arguments), pixel_arrays(result)
        with self._lock:
            self._known |= given
            fresh = {number: array for number, array in made.items() if number not in self._known}
            self._known |= fresh
            self._number += sum(array.nbytes for array in fresh.values()) // CHANNELS
            return self._number
