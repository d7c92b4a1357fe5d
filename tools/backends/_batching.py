"""What backends on large networks share: batches and crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from visprog.errors import ToolError
from visprog.registry import answer_each
from visprog.values import Region
from visprog.values.image import Image

from ._checkpoint import Checkpoint, OutOfDeviceMemory

if TYPE_CHECKING:
    import PIL.Image

T = TypeVar("T")
R = TypeVar("R")


def answer_batch(
    calls: list[dict[str, Any]], prepare: Callable[..., Any], answer: Callable[[list[Any]], Sequence[Any]]
) -> list[Any]:
    """Results of a batch of calls, in order, with an exception in the place of each that failed.

    Args:
        prepare: The arguments of a call → what `answer` takes of it; its exceptions concern that call alone.
        answer: Everything that was prepared → as many results.
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


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), max(size, 1)))


def in_batches(
    checkpoint: Checkpoint, items: Sequence[T], size: int, run: Callable[[Sequence[T]], Sequence[R]]
) -> list[R]:
    """The results of `run`, which gets at most `size` items at once. If the device has too little memory, it gets half
    as many, and of a single item the other models leave the device first.

    Args:
        run: Items → as many results.

    Raises:
        OutOfDeviceMemory: The memory does not suffice for one item and this model alone.
    """
    results: list[R] = []
    size = max(size, 1)
    while len(results) < len(items):
        part = items[len(results) : len(results) + size]
        try:
            results += run(part)
            continue
        except OutOfDeviceMemory as error:
            full = OutOfDeviceMemory(str(error))  # without the tensors that the frames of `error` hold
        if len(part) > 1:
            size = len(part) // 2
        elif not checkpoint.unload_others():
            raise full
    return results


def crop_to(seen: Image | Region, margin: float, frame: float = 0.0) -> Image:
    """The image to look at: an image itself; a region's crop.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        frame: Side of a square around the crop, as a multiple of its longer side, filled with the pixels of its edges;
            0 for none.

    Raises:
        ToolError: The region does not know its image.
        ImageError: The region lies outside its image.
    """
    if isinstance(seen, Image):
        return seen
    if seen.image is None:
        raise ToolError("this region does not know its image: give crop(image, region)")
    crop: Image = seen.image.crop(seen.box.expand(max(margin * max(seen.width, seen.height), 1.0)))
    if not frame:
        return crop
    from visprog.models.preprocess.image_processor import pad_to_square

    return Image(pad_to_square(crop.pixels, frame))


def to_rgb(image: Image) -> PIL.Image.Image:
    """An image as RGB for PIL; what is transparent is white."""
    import PIL.Image

    return PIL.Image.fromarray(image.pixels)
