"""Captioned images from files or shards, as the tasks that learn from them need them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.preprocess.image_processor import ImageProcessor

from ..data.pairs import Pairs, read_pairs
from ..data.samples import BadSample, DataError, Pair
from ..data.shards import Place, Shards, is_shards

Part = Literal["train", "val", "test"]
MOST_CAPTIONS = 100_000
"""Number of captions that a vocabulary is learned from, at most."""

Captioned = tuple[NDArray[np.uint8], str, int, str]
"""Pixels of the model's size, caption, place in the data, and name of the image."""


class CaptionTask(Protocol):
    """What the data need of their task."""

    pixels: ImageProcessor

    def collate(self, samples: Sequence[Captioned]) -> dict[str, Tensor]: ...


class CaptionSource:
    """Captioned images to train on and to score by.

    Args:
        pairs: as `read_pairs` takes them, or tar files, as `Shards` takes them.
        images: folder or zip that the paths of a table are relative to.
        val: those to score by, likewise. Without it, a tenth of the files is set aside; of shards, none.

    Raises:
        DataError: one of them cannot be read, or holds too few images to be divided.
    """

    def __init__(self, pairs: Path, images: Path | None, val: Path | None) -> None:
        self.train = _open(pairs, images)
        self.val = self.train if val is None else _open(val, images)
        self.keys: dict[str, Sequence[Any]] = {}
        if isinstance(self.train, Pairs):
            self.keys["train"] = range(len(self.train)) if val else divide(self.train, "train")
        if isinstance(self.val, Pairs):
            self.keys["val"] = range(len(self.val)) if val else divide(self.val, "val")
        elif val:
            self.keys["val"] = list(self.val.keys(np.random.default_rng(0)))
        for part, keys in self.keys.items():
            if not keys:
                raise DataError(
                    f"{pairs} holds too few images to set some aside for '{part}': add more, or give val=FILE"
                )

    def data(self, task: CaptionTask, split: Literal["train", "val"]) -> ListedPairs | StreamedPairs | None:
        """As `Task.data`."""
        found = self.train if split == "train" else self.val
        if split in self.keys:
            return ListedPairs(task, found, self.keys[split])
        return StreamedPairs(task, found) if split == "train" and isinstance(found, Shards) else None

    def captions(self) -> Iterator[str]:
        """The captions to train on, without a look at the images; bad ones are left out."""
        if isinstance(self.train, Shards):
            keys: Any = self.train.keys(np.random.default_rng(0))
        else:
            keys = self.keys["train"]
        for key in islice(keys, MOST_CAPTIONS):
            try:
                yield self.train.caption(key)
            except BadSample:  # met again, and named, in training
                continue


class ListedPairs:
    """Captioned images of known number."""

    def __init__(self, task: CaptionTask, found: Pairs | Shards, keys: Sequence[Any]) -> None:
        self.task, self.found, self.places, self.collate = task, found, keys, task.collate

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, key: int, rng: np.random.Generator) -> Captioned:
        return _sample(self.task, _read(self.found, self.places[key]), key)


class StreamedPairs:
    """Captioned images in shards."""

    def __init__(self, task: CaptionTask, shards: Shards) -> None:
        self.task, self.shards, self.collate, self.keys = task, shards, task.collate, shards.keys

    def sample(self, key: Place, rng: np.random.Generator) -> Captioned:
        return _sample(self.task, self.shards.read(key), 0)


def divide(pairs: Pairs, part: Part) -> list[int]:
    """Places of the images of a part: 8 of 10 to train on, 1 to choose by, 1 to test on. An image stays in its part
    whatever others are there."""
    wanted = {"train": range(8), "val": (8,), "test": (9,)}[part]
    return [i for i, entry in enumerate(pairs.entries) if of_ten(entry.image) in wanted]


def of_ten(name: str) -> int:
    """One of ten groups that a name belongs to."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape")) % 10


def _open(path: Path, images: Path | None) -> Pairs | Shards:
    return Shards(path) if is_shards(path) else read_pairs(path, images)


def _read(found: Pairs | Shards, key: Any) -> Pair:
    return found.read(key) if isinstance(found, Shards) else found[key]


def _sample(task: CaptionTask, pair: Pair, key: int) -> Captioned:
    return task.pixels.fit(pair.image), pair.caption, key, pair.name
