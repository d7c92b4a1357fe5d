"""Image–text pairs in webdataset shards: tar files in which the files of a sample stand together, under one name.

A pass reads the headers of the shards only; an image is read when its turn has come. So a shuffle buffer holds
places, not pictures, and going on with a run means to count past what was seen.
"""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .files import PICTURES
from .samples import BadSample, DataError, Pair, decode

_CAPTIONS = (".txt", ".caption", ".json")


@dataclass(frozen=True)
class Place:
    """A sample in a shard: where each of its files lies, by ending."""

    shard: str
    name: str
    parts: dict[str, tuple[int, int]]


class Shards:
    """A stream of places in shards. `read` makes a `Pair` of one.

    Args:
        pattern: path of tar files, with `*` or braces: `data/{00000..00099}.tar`.
        buffer: how many samples are shuffled together, on top of the shuffled order of shards.

    Raises:
        DataError: there are no such files.
    """

    def __init__(self, pattern: str | Path, buffer: int = 2000) -> None:
        self.paths = [f for p in _expand(str(pattern)) for f in sorted(glob.glob(p))]
        self.buffer = buffer
        if not self.paths:
            raise DataError(f"there are no shards {pattern}")

    def keys(self, rng: np.random.Generator, part: int = 0, parts: int = 1) -> Iterator[Place]:
        """One shuffled pass. Of several processes each reads its own shards.

        Raises:
            DataError: there are fewer shards than processes, or one is no tar file.
        """
        if len(self.paths) < parts:
            raise DataError(
                f"{len(self.paths)} shards are too few for {parts} processes: write more, smaller ones"
            )
        order = rng.permutation(len(self.paths))[part::parts]
        waiting: list[Place] = []
        for index in order:
            for place in _places(self.paths[index]):
                if len(waiting) < self.buffer:
                    waiting.append(place)
                    continue
                slot = int(rng.integers(len(waiting)))
                waiting[slot], place = place, waiting[slot]
                yield place
        for index in rng.permutation(len(waiting)):
            yield waiting[index]

    def read(self, place: Place) -> Pair:
        """The image and caption at a place. Raises `BadSample` where one is missing or broken."""
        image = next((e for e in place.parts if e in PICTURES), None)
        caption = next((e for e in _CAPTIONS if e in place.parts), None)
        if image is None or caption is None:
            raise BadSample(place.name, "the shard has no image or no caption under this name")
        with open(place.shard, "rb") as file:
            pixels, text = (_part(file, *place.parts[e], place.name) for e in (image, caption))
        return Pair(decode(pixels, place.name), _caption(text, caption, place.name), place.name)


def _places(shard: str) -> Iterator[Place]:
    name, parts = "", dict[str, tuple[int, int]]()
    try:
        with tarfile.open(shard, "r:") as file:
            for member in file:
                if not member.isfile():
                    continue
                folder, slash, base = member.name.rpartition("/")
                stem, dot, ending = base.partition(".")
                key = f"{folder}{slash}{stem}"
                if key != name and parts:
                    yield Place(shard, f"{shard}:{name}", parts)
                    parts = {}
                name = key
                parts[f"{dot}{ending}".lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"cannot read the shard {shard}: {error}; it must be an uncompressed tar file"
        ) from None
    if parts:
        yield Place(shard, f"{shard}:{name}", parts)


def _part(file: BinaryIO, offset: int, size: int, name: str) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise BadSample(name, "the shard ends within it")
    return data


def _caption(data: bytes, ending: str, name: str) -> str:
    try:
        text = data.decode("utf-8")
        if ending == ".json":
            text = json.loads(text).get("caption")
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise BadSample(name, f"its caption cannot be read: {error}") from None
    if not isinstance(text, str) or not text.strip():
        raise BadSample(name, "its caption is empty")
    return text.strip()


def _expand(pattern: str) -> list[str]:
    """`{000..010}` and `{a,b}` as all they stand for."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[piece] if i % 2 == 0 else _choices(piece) for i, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(text: str) -> list[str]:
    if bounds := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = bounds.groups()
        return [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return text.split(",")
