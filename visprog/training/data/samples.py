"""What data sets yield. Boxes are in pixels, `[left, top, right, bottom]`, origin top left, right and bottom open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ImageError, VisprogError
from visprog.files.reading import printable
from visprog.values.image import Image

Pixels = NDArray[np.uint8]
"""An image: (H, W, 3), RGB."""


class DataError(VisprogError):
    """A data set that cannot be used at all: missing, of another layout, or without one good sample."""


class BadSample(VisprogError):
    """One sample that cannot be used. It is skipped, counted and named.

    Attributes:
        name: where it is, such as a file name.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        # A name that is not UTF-8 must not break the messages and the summary in which it comes to stand.
        self.name, self.reason = printable(name, 4096), printable(reason, 4096)
        super().__init__(self.name, self.reason)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and captions of it.

    Attributes:
        captions: true of the image; training draws one at each visit.
        name: of the image, equal for equal images.
        false_caption: differs from a true one in a word or two and is false; "" for none.
        objects: facts about each object of the image, whole numbers; -2 and -3 stand for a fact that is not seen.
        claim: what the caption claims of one object, in the same order of facts; -1 for what it leaves open. None: the
            caption says more than facts can, and is compared by its words.
        label: index of the class among those of the source; -1 for none.
        key: number by which the source judges captions of this image.
        groups: titles of the scores that a validation sample counts for.
        other_captions: true of the image as well; those of other samples.
        boxes: float32 (N, 4), regions of the image that are described.
        phrases: N descriptions of what the regions show.
    """

    image: Pixels
    captions: tuple[str, ...]
    name: str = ""
    false_caption: str = ""
    objects: tuple[tuple[int, ...], ...] = ()
    claim: tuple[int, ...] | None = None
    label: int = -1
    key: int = -1
    groups: tuple[str, ...] = ()
    other_captions: tuple[str, ...] = ()
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image without a text.

    Attributes:
        name: of the image.
        labels: index of its class by each of the source's `attributes`; empty for an image without labels.
    """

    image: Pixels
    name: str = ""
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Boxes:
    """An image and the boxes of its objects.

    Attributes:
        boxes: float32 (N, 4).
        labels: N names.
        crowd: bool (N,), True for a box around many objects, which is neither found nor missed.
        phrases: what this image is asked for; empty for the names of all classes of the source.
    """

    image: Pixels
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    crowd: NDArray[np.bool_]
    name: str = ""
    phrases: tuple[str, ...] = ()

    def fits(self, phrase: str) -> NDArray[np.bool_]:
        """Which objects a phrase names, (N,)."""
        return np.array([label == phrase for label in self.labels], bool)


@dataclass(frozen=True, eq=False)
class Masks:
    """An image and the exact pixels of its objects.

    Attributes:
        masks: bool (N, H, W).
        boxes: float32 (N, 4), tight around the masks.
        labels: N names.
        crowd: as in `Boxes`.
    """

    image: Pixels
    masks: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    crowd: NDArray[np.bool_]
    name: str = ""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation. `<image>` in its text is where an image goes."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, eq=False)
class Conversation:
    """Messages in turn, user first, about no, one or several images.

    Attributes:
        given: number of answers, from the first, that are not learned.
        groups: titles of the scores that a validation sample counts for.
    """

    images: tuple[Pixels, ...]
    turns: tuple[Turn, ...]
    name: str = ""
    given: int = 0
    groups: tuple[str, ...] = ()


@dataclass
class Skipped:
    """The bad samples that were met: each counts once, and the first `shown` are named."""

    reasons: dict[str, str] = field(default_factory=dict)
    shown: int = 10

    def add(self, found: Mapping[str, str]) -> list[str]:
        """Count them; returns the lines to print for those that are new."""
        lines = []
        for name, reason in found.items():
            if name not in self.reasons:
                self.reasons[name] = reason
                if len(self.reasons) <= self.shown:
                    lines.append(f"skipped a bad sample, {name}: {reason}")
                elif len(self.reasons) == self.shown + 1:
                    lines.append("skipped more bad samples: they are counted, and summary.json names them")
        return lines

    def __len__(self) -> int:
        return len(self.reasons)


def decode(data: bytes, name: str) -> Pixels:
    """The pixels of an image file, EXIF orientation applied, alpha composed over white.

    Raises:
        BadSample: it is not an image that can be read.
    """
    try:
        return Image.open(data, name=name).pixels
    except ImageError as error:
        raise BadSample(name, str(error).removeprefix(f"{name} ").removeprefix("is ")) from None
