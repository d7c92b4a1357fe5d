"""A cache of tool results, addressed by content."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..values.depth import Depth
from ..values.image import Image

MISSING = object()
_SMALL = 256


class Cache:
    """Keeps the most recently used results, up to a number of bytes. Safe to use from many threads.

    An image that several results lie in is held, and counted, once.
    """

    def __init__(self, megabytes: float) -> None:
        self.capacity = int(megabytes * 1024 * 1024)
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._holders: Counter[int] = Counter()  # of each array of pixels, by identity
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """The result, or `MISSING`."""
        with self._lock:
            if key not in self._entries:
                return MISSING
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a result; the least recently used ones make room."""
        arrays = pixel_arrays(value)
        own = _SMALL * _parts(value)
        with self._lock:
            if key in self._entries or own + sum(a.nbytes for a in arrays.values()) > self.capacity:
                return
            self._entries[key] = value, own
            self._bytes += own
            for number, array in arrays.items():
                self._holders[number] += 1
                if self._holders[number] == 1:
                    self._bytes += array.nbytes
            while self._bytes > self.capacity:
                self._forget(next(iter(self._entries)))

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forget these results, where they are still there."""
        with self._lock:
            for key in keys:
                if key in self._entries:
                    self._forget(key)

    def _forget(self, key: Hashable) -> None:
        value, own = self._entries.pop(key)
        self._bytes -= own
        for number, array in pixel_arrays(value).items():
            self._holders[number] -= 1
            if not self._holders[number]:
                del self._holders[number]
                self._bytes -= array.nbytes


def holds_picture(value: Any) -> bool:
    """Whether a value is an image or a mask, or lies in one, or has such a value in it."""
    return bool(pixel_arrays(value))


def _walk(value: Any) -> Iterator[Any]:
    """A value, and the values in it."""
    yield value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _walk(each)


def pixel_arrays(value: Any) -> dict[int, NDArray[Any]]:
    """The arrays that a value keeps in memory, by identity: those that images, masks and depth maps are or view.

    A crop of whole rows is a view of its root; another holds a copy of its part.
    """
    found: dict[int, NDArray[Any]] = {}
    for each in _walk(value):
        for part in (each, getattr(each, "image", None), getattr(each, "mask", None)):
            for owner in (part, part.root) if isinstance(part, Image) else (part,):
                array = owner.values if isinstance(owner, Depth) else getattr(owner, "pixels", None)
                if isinstance(array, np.ndarray):
                    while isinstance(array.base, np.ndarray):
                        array = array.base
                    found[id(array)] = array
    return found


def _parts(value: Any) -> int:
    return sum(1 for _ in _walk(value))
