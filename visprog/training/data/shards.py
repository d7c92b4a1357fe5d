"""Image–text pairs in webdataset shards: tar files in which the files of a sample stand together, under one name.

A pass reads the headers of the shards only; an image is read when its turn has come. So a shuffle buffer holds
places, not images, and resuming a run means to count past what was seen.
"""

from __future__ import annotations

import glob
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from visprog.files.endings import IMAGE_ENDINGS
from visprog.files.limits import limits
from visprog.files.plain_text import decode_text, parse_json
from visprog.files.writing import open_regular

from .samples import BadSample, DataError, Pair, decode

_CAPTIONS = (".txt", ".caption", ".json")


@dataclass(frozen=True)
class Place:
    """A sample in a shard: where each of its files lies, by ending; or why the rest of the shard cannot be used."""

    shard: str
    name: str
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    problem: str = ""


class Shards:
    """A stream of places in shards. `read` makes a `Pair` of one.

    What cannot be read of a shard is a place of its own, of which `read` raises `BadSample`; the pass goes on.

    Args:
        pattern: path of tar files, with `*` or braces: `data/{00000..00099}.tar`.
        buffer: how many samples are shuffled together, on top of the shuffled order of shards.

    Raises:
        DataError: there are no such files.
    """

    def __init__(self, pattern: str | Path, buffer: int = 2000) -> None:
        self.paths = [f for p in expand(str(pattern)) for f in (sorted(glob.glob(p)) or [p])]
        self.buffer = buffer
        if not any(Path(path).exists() for path in self.paths):
            raise DataError(f"there are no shards {pattern}")

    def keys(self, rng: np.random.Generator, part: int = 0, parts: int = 1) -> Iterator[Place]:
        """One shuffled pass. Of several processes each reads its own shards.

        Raises:
            DataError: there are fewer shards than processes, or none of them can be read.
        """
        if len(self.paths) < parts:
            raise DataError(
                f"{len(self.paths)} shards are too few for {parts} processes: write more, smaller ones"
            )
        order = rng.permutation(len(self.paths))[part::parts]
        waiting: list[Place] = []
        found, problem = False, ""
        for index in order:
            for place in places(self.paths[index]):
                found, problem = found or not place.problem, problem or f"{place.name}: {place.problem}"
                if len(waiting) < self.buffer:
                    waiting.append(place)
                    continue
                slot = int(rng.integers(len(waiting)))
                waiting[slot], place = place, waiting[slot]
                yield place
        if problem and not found:
            raise DataError(f"no shard can be read; the first is {problem}")
        for index in rng.permutation(len(waiting)):
            yield waiting[index]

    def read(self, place: Place) -> Pair:
        """The image and caption at a place. Raises `BadSample` if one is missing or broken."""
        caption = self.caption(place)
        image = next((e for e in place.parts if e in IMAGE_ENDINGS), None)
        if image is None:
            raise BadSample(place.name, "the shard has no image under this name")
        return Pair(decode(content(place, image), place.name), (caption,), place.name)

    def caption(self, place: Place) -> str:
        """The caption at a place, without its image being read. Raises `BadSample` if it is missing or broken."""
        if place.problem:
            raise BadSample(place.name, place.problem)
        ending = next((e for e in _CAPTIONS if e in place.parts), None)
        if ending is None:
            raise BadSample(place.name, "the shard has no caption under this name")
        return _caption(content(place, ending), ending, place.name)


def is_shards(path: str | Path) -> bool:
    """Whether a path, or a pattern of several, is of tar files."""
    return str(path).lower().endswith((".tar", ".tar.gz", ".tgz"))


def places(shard: str) -> Iterator[Place]:
    """The samples of a shard in their order, and at its end what keeps the rest of it from being read."""
    members: list[tuple[str, tuple[int, int]]] = []
    try:
        if not Path(shard).is_file():
            raise OSError("there is no such file" if not Path(shard).exists() else "it is no regular file")
        with tarfile.open(shard, "r:") as file:
            for name, place in _members(file):
                if members and _key(name) != _key(members[0][0]):
                    yield from _samples(shard, members)
                    members = []
                members.append((name, place))
        _check_end(shard, file.offset)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:  # ValueErrors are of broken headers
        yield from _samples(shard, members)
        why = "" if isinstance(error, OSError) else "; it must be an uncompressed tar file, copied as a whole"
        yield Place(shard, shard, problem=f"cannot read the shard {shard}: {error}{why}")
        return
    yield from _samples(shard, members)


def _check_end(shard: str, offset: int) -> None:
    """Raises `tarfile.ReadError` if the file goes on after its last member: what is no header ends the iteration in
    silence, as a block of zeros does."""
    with open_regular(shard, "rb") as rest:
        rest.seek(offset)
        block = rest.read(tarfile.BLOCKSIZE)
        if block != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"it is cut off or damaged at byte {offset}")
        while block := rest.read(1 << 20):
            if any(block):
                raise tarfile.ReadError(
                    f"more follows after its end at byte {offset}: it is damaged, or several in one"
                )


def _members(file: tarfile.TarFile) -> Iterator[tuple[str, tuple[int, int]]]:
    """The files in a tar file, with offset and size. A hard link lies where the file does that it leads to."""
    known: dict[str, tuple[int, int]] = {}
    for member in file:
        if member.isfile() and not member.issparse():
            known[member.name] = (member.offset_data, member.size)
        elif member.islnk() and member.linkname in known:
            known[member.name] = known[member.linkname]
        else:
            continue
        if not member.name.rpartition("/")[2].startswith("."):  # which macOS adds
            yield member.name, known[member.name]


def _samples(shard: str, members: list[tuple[str, tuple[int, int]]]) -> Iterator[Place]:
    """The samples among neighbouring files with one key.

    A key ends at the first dot, as webdataset has it; but if none of the files has a plain ending there, the names
    themselves have dots, and keys end at the last one.
    """
    plain = any(name.removeprefix(_key(name)).lower() in IMAGE_ENDINGS for name, _ in members)
    key, parts = "", dict[str, tuple[int, int]]()
    for name, place in members:
        stem = _key(name) if plain else name.rpartition(".")[0]
        ending = name.removeprefix(stem).lower()
        if parts and (stem != key or ending in parts):
            yield Place(shard, f"{shard}:{key}", parts)
            parts = {}
        key, parts[ending] = stem, place
    if parts:
        yield Place(shard, f"{shard}:{key}", parts)


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def content(place: Place, ending: str) -> bytes:
    """One of the files of a sample."""
    offset, size = place.parts[ending]
    if size > limits().file_bytes:
        raise BadSample(place.name, f"a file of it is larger than {limits().file_bytes / 2**20:g} MiB")
    try:
        with open_regular(place.shard, "rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise BadSample(place.name, f"the shard cannot be read: {error.strerror or error}") from None
    if len(data) < size:
        raise BadSample(place.name, "the shard ends within it")
    return data


def _caption(data: bytes, ending: str, name: str) -> str:
    try:
        text = decode_text(data)
        if ending == ".json":
            text = parse_json(text).get("caption")
    except (ValueError, AttributeError) as error:
        raise BadSample(name, f"its caption cannot be read: it {error}") from None
    if not isinstance(text, str) or not text.strip():
        raise BadSample(name, "its caption is empty")
    return text.strip()


def expand(pattern: str) -> list[str]:
    """`{000..010}` and `{a,b}` as all they stand for."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[piece] if i % 2 == 0 else _choices(piece) for i, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(text: str) -> list[str]:
    if bounds := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = bounds.groups()
        return [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return text.split(",")
