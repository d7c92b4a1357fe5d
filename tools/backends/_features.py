"""Features that networks have computed: one cache for all models, bounded by bytes."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._checkpoint import Checkpoint

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_BYTES = 64 << 20
"""Number of bytes of features that are kept in memory."""

ENTRY_BYTES = 200
"""Number of bytes that an entry takes beside its features."""


class FeatureCache:
    """Results of networks by checkpoint and input; the least recently used leave first.

    Args:
        capacity: Maximum number of bytes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._numbers: weakref.WeakKeyDictionary[Checkpoint, int] = weakref.WeakKeyDictionary()
        self._next = itertools.count()
        self._lock = threading.RLock()

    def get(
        self,
        checkpoint: Checkpoint,
        what: str,
        keys: Sequence[K],
        compute: Callable[[list[K]], Sequence[V]],
    ) -> list[V]:
        """The result for each key; `compute` gets those that are not known, each once.

        Args:
            checkpoint: The network; what is kept of it leaves with it.
            what: What the network computes.
            keys: Inputs, such as digests of images.
            compute: Results, in order: arrays, tensors that share no memory with others, texts, or tuples of them.
        """
        with checkpoint.lock:  # the network works for one thread at a time
            found: dict[K, V] = {}
            with self._lock:
                number = self._number(checkpoint)
                for key in keys:
                    entry = self._kept.get((number, what, key))
                    if entry is not None:
                        self._kept.move_to_end((number, what, key))
                        found[key] = entry[0]
            missing = list(dict.fromkeys(key for key in keys if key not in found))
            if missing:
                made = dict(zip(missing, compute(missing), strict=True))
                found.update(made)
                with self._lock:
                    for key, value in made.items():
                        self._put((number, what, key), value)
            return [found[key] for key in keys]

    def _put(self, key: Hashable, value: Any) -> None:
        self._drop(key)
        self._kept[key] = value, _bytes_of(value) + ENTRY_BYTES
        self.size += self._kept[key][1]
        while self.size > self.capacity:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        self.size -= self._kept.pop(key, (None, 0))[1]

    def _number(self, checkpoint: Checkpoint) -> int:
        """Number of a checkpoint, which none had before."""
        if checkpoint not in self._numbers:
            self._numbers[checkpoint] = number = next(self._next)
            weakref.finalize(checkpoint, self._forget, number)
        return self._numbers[checkpoint]

    def _forget(self, number: int) -> None:
        with self._lock:
            for key in [key for key in self._kept if isinstance(key, tuple) and key[0] == number]:
                self._drop(key)


FEATURES = FeatureCache(MAX_BYTES)
"""The one cache."""


def _bytes_of(value: Any) -> int:
    if isinstance(value, tuple):
        return sum(map(_bytes_of, value))
    return int(value.nbytes) if hasattr(value, "nbytes") else len(value) if isinstance(value, str) else 0
