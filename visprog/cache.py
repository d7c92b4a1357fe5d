"""A cache of tool results, addressed by content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

from .values import Mask, Region
from .values.image import Image

MISSING = object()
_SMALL = 256


class Cache:
    """Keeps the most recently used results, up to a number of bytes. Safe to use from many threads."""

    def __init__(self, megabytes: float) -> None:
        self.capacity = int(megabytes * 1024 * 1024)
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
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
        size = _size(value)
        with self._lock:
            if key in self._entries or size > self.capacity:
                return
            self._entries[key] = value, size
            self._bytes += size
            while self._bytes > self.capacity:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed


def fingerprint(value: Any) -> Hashable:
    """A key that equal arguments share: pictures by their pixels' digest and their place in the root."""
    if isinstance(value, Image):
        return ("image", value.digest, value.origin, value.root.digest)
    if isinstance(value, Mask):
        return ("mask", value.pixels.tobytes(), value.box)
    if isinstance(value, Region):
        return (
            "region",
            value.box,
            value.label,
            value.score,
            fingerprint(value.image),
            fingerprint(value.mask),
        )
    if isinstance(value, list | tuple):
        return (type(value).__name__, *(fingerprint(v) for v in value))
    if isinstance(value, Mapping):
        return ("dict", *((k, fingerprint(v)) for k, v in sorted(value.items())))
    return (type(value).__name__, value)


def _size(value: Any) -> int:
    """Roughly the bytes that keeping a result costs."""
    if isinstance(value, Image):
        return int(value.root.pixels.nbytes)
    if isinstance(value, Mask):
        return int(value.pixels.nbytes)
    if isinstance(value, Region):
        return _SMALL + _size(value.mask)
    if isinstance(value, list | tuple):
        return _SMALL + sum(_size(v) for v in value)
    return _SMALL
