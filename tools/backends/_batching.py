"""What backends on large networks share: batches answered together, work remembered, pictures cut."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from visprog.errors import ToolError
from visprog.registry import answer_each
from visprog.values import Region
from visprog.values.image import Image

if TYPE_CHECKING:
    import PIL.Image

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


def answer_together(
    calls: list[dict[str, Any]], prepare: Callable[..., Any], answer: Callable[[list[Any]], list[Any]]
) -> list[Any]:
    """Results of a batch of calls, in order, with an exception in the place of each that failed.

    Args:
        prepare: a call's arguments → what `answer` takes of it; its exceptions concern that call alone.
        answer: all that was prepared → as many results.
    """
    results = answer_each(calls, prepare)
    good = [i for i, prepared in enumerate(results) if not isinstance(prepared, Exception)]
    if good:
        try:
            answers = answer([results[i] for i in good])
        except Exception as error:  # handed to every caller that it concerns
            answers = [error] * len(good)
        for i, result in zip(good, answers, strict=True):
            results[i] = result
    return results


class Memory(Generic[K, V]):
    """The results of costly work by key; those that were not used for longest are forgotten.

    Args:
        capacity: how many are kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, keys: Sequence[K], compute: Callable[[list[K]], Sequence[V]]) -> list[V]:
        """The result for each key; `compute` gets those that are not known, each once."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            missing = list(dict.fromkeys(key for key in keys if key not in found))
            if missing:
                found.update(zip(missing, compute(missing), strict=True))
            for key, value in found.items():
                self._kept[key] = value
                self._kept.move_to_end(key)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
            return [found[key] for key in keys]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), max(size, 1)))


def look(thing: Image | Region, margin: float) -> Image:
    """The picture to look at: an image itself; a region's crop, with `margin` (a share of its longer side).

    Raises:
        ToolError: the region does not know its picture.
        ImageError: the region lies outside its picture.
    """
    if isinstance(thing, Image):
        return thing
    if thing.image is None:
        raise ToolError("this region does not know its picture: give crop(image, region)")
    part: Image = thing.image.crop(thing.box.expand(max(margin * max(thing.width, thing.height), 1.0)))
    return part


def to_rgb(image: Image) -> PIL.Image.Image:
    """The picture as PIL wants it, RGB; what is transparent is white."""
    import PIL.Image

    return PIL.Image.fromarray(image.pixels)
