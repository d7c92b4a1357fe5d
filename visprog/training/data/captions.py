"""Captioned images from files or shards: the source `captions`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from .pairs import Pairs, read_pairs
from .samples import BadSample, DataError, Pair
from .shards import Place, Shards, is_shards
from .source import PairSource, SplitName

Part = Literal["train", "val", "test"]
MAX_CAPTIONS = 100_000
"""Number of captions that a vocabulary is learned from, at most."""


@dataclass(frozen=True)
class CaptionedConfig:
    """Keys of the source `captions`.

    Attributes:
        path: folder or zip of images with captions, table (CSV, TSV, JSON Lines), JSON file of COCO's captions, or
            webdataset shards, "shards/{000..098}.tar".
        images: folder or zip that the paths in a table are relative to; null for that of the table.
        val: validation data, as `path`. Null sets a tenth of the files aside; of shards, none.
    """

    path: Path
    images: Path | None = None
    val: Path | None = None


class CaptionedImages(PairSource):
    """Captioned images to train on and to validate by.

    Raises:
        DataError: the files cannot be read, or hold too few images to be divided.
    """

    Config: ClassVar[Any] = CaptionedConfig

    def __init__(self, config: CaptionedConfig) -> None:
        super().__init__(config)
        self.train = _open(config.path, config.images)
        self.val = self.train if config.val is None else _open(config.val, config.images)
        self.has_regions = isinstance(self.train, Pairs) and any(e.regions for e in self.train.entries)
        self.keys: dict[str, Sequence[Any]] = {}
        if isinstance(self.train, Pairs):
            self.keys["train"] = range(len(self.train)) if config.val else divide(self.train.names, "train")
        if isinstance(self.val, Pairs):
            self.keys["val"] = range(len(self.val)) if config.val else divide(self.val.names, "val")
        elif config.val:
            self.keys["val"] = list(self.val.keys(np.random.default_rng(0)))
        for part, keys in self.keys.items():
            if not keys:
                raise DataError(
                    f"{config.path} holds too few images to set some aside for '{part}': add more, "
                    "or give data.val=FILE"
                )

    def split(self, name: SplitName, size: int) -> ListedPairs | StreamedPairs | None:
        found = self.train if name == "train" else self.val
        if name in self.keys:
            return ListedPairs(found, self.keys[name])
        return StreamedPairs(found) if name == "train" and isinstance(found, Shards) else None

    def texts(self) -> Iterator[str]:
        """The captions to train on, without reading the images; bad ones are left out."""
        if isinstance(self.train, Shards):
            keys: Any = self.train.keys(np.random.default_rng(0))
        else:
            keys = self.keys["train"]
        for key in islice(keys, MAX_CAPTIONS):
            try:
                yield self.train.caption(key)
            except BadSample:  # met again, and named, in training
                continue


class ListedPairs:
    """Captioned images of known number."""

    def __init__(self, found: Pairs | Shards, keys: Sequence[Any]) -> None:
        self.found, self.keys_of = found, keys

    def __len__(self) -> int:
        return len(self.keys_of)

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """One image with one caption."""
        place = self.keys_of[key]
        return self.found.read(place) if isinstance(self.found, Shards) else self.found[place]


class StreamedPairs:
    """Captioned images in shards."""

    def __init__(self, shards: Shards) -> None:
        self.shards, self.keys = shards, shards.keys

    def sample(self, key: Place, rng: np.random.Generator) -> Pair:
        """One image with one caption."""
        return self.shards.read(key)


def divide(names: Sequence[str], part: Part) -> list[int]:
    """Indices of the images of a part, by their names: 8 of 10 to train on, 1 to validate by, 1 to test on. An image
    stays in its part whatever others are there."""
    wanted = {"train": range(8), "val": (8,), "test": (9,)}[part]
    return [i for i, name in enumerate(names) if tenth_of(name) in wanted]


def tenth_of(name: str) -> int:
    """Which of ten groups a name belongs to, 0 to 9."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape")) % 10


def _open(path: Path, images: Path | None) -> Pairs | Shards:
    return Shards(path) if is_shards(path) else read_pairs(path, images)
