"""An index of the images in a folder: their features on disk, brought up to date by what was added, changed or removed.

The index is a folder of two files. `index.jsonl` is a journal: its first line describes the index, each further one
names an image, with its size, its time and the row of its feature. The other file has the features, a matrix in float16
that is mapped into memory. Features are on disk before the lines that name them, so a kill loses a batch at most. Rows
are only added, until a quarter of them are of no image any more and both files are written anew.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, Refused, VisprogError
from ..files.journal import Journal, read_lines, replacing
from ..files.locks import claimed
from ..values.image import Image
from .nearest import nearest

JOURNAL = "index.jsonl"
VERSION = 1

_BATCH = 8
"""Images that are encoded and written at once; as many more are read ahead."""

_MAX_STALE = 0.25
"""Share of the rows that may be of no image any more."""

Features: TypeAlias = NDArray[np.float32]


@runtime_checkable
class FeatureEncoder(Protocol):
    """What makes features of images and of texts, such as a backend of `retrieve`."""

    def digest(self) -> str:
        """What tells the model from others: features of different models cannot be compared."""

    def image_features(self, images: Sequence[Image]) -> list[Features | Exception]:
        """The feature of each image, (dim,) of length 1; a `Refused` for one that the model cannot judge."""

    def text_features(self, texts: list[str]) -> Features:
        """Features of texts, (n, dim), rows of length 1. Raises `Refused` if the model cannot read one."""


class Hit(NamedTuple):
    """An image that was found.

    Attributes:
        name: Path within the folder.
        score: Cosine between its feature and the query's.
    """

    name: str
    score: float


class Stamp(NamedTuple):
    """What tells whether a file has changed.

    Attributes:
        size: In bytes.
        time: Of its last change, in nanoseconds.
    """

    size: int
    time: int


@dataclass(frozen=True)
class Changes:
    """What an update did.

    Attributes:
        added: Number of images that are new, or have changed.
        removed: Number of images that are there no more.
        broken: Name of an image that cannot be searched → why, also of those that were known before.
    """

    added: int
    removed: int
    broken: Mapping[str, str]


class ImageIndex:
    """The features of the images in a folder, to be searched. `update_index` makes one.

    Attributes:
        names: Name of the image of each row; empty for a row of none.
    """

    def __init__(self, features: NDArray[np.float16], rows: Mapping[str, int]) -> None:
        self._features = features
        self.names = [""] * len(features)
        for name, row in rows.items():
            self.names[row] = name
        self._count = len(rows)
        self._wanted = None if len(rows) == len(features) else np.array([name != "" for name in self.names])

    def __len__(self) -> int:
        return self._count

    def search(self, queries: Features, k: int, max_similarity: float | None = None) -> list[list[Hit]]:
        """The images nearest to each query, best first.

        Args:
            queries: (q, dim), rows of length 1.
            k: Number of images per query.
            max_similarity: Leaves out an image whose feature has a larger cosine with that of one before it, such as a
                copy in another size.
        """
        k = min(k, len(self))
        if max_similarity is None:
            found = zip(*nearest(queries, self._features, k, self._wanted), strict=True)
            return [[self._hit(*each) for each in zip(*one, strict=True)] for one in found]
        return [self._distinct(query, k, max_similarity) for query in queries]

    def _distinct(self, query: Features, k: int, max_similarity: float) -> list[Hit]:
        taken, number = 4 * k, 0
        while True:
            (scores,), (rows,) = nearest(query[None], self._features, taken, self._wanted)
            hits: list[Hit] = []
            chosen = np.zeros((0, len(query)), np.float32)
            for score, row in zip(scores, rows, strict=True):
                feature = self._features[row].astype(np.float32)
                if not len(chosen) or (chosen @ feature).max() <= max_similarity:
                    chosen = np.vstack([chosen, feature])
                    hits.append(self._hit(score, row))
                    if len(hits) == k:
                        return hits
            number, taken = len(rows), 4 * taken
            if number == len(self):
                return hits

    def _hit(self, score: np.float32, row: np.int64) -> Hit:
        return Hit(self.names[row], float(score))


def default_place(folder: Path, model: str) -> Path:
    """The folder of the index of a folder of images, in the user's cache: nothing is written among the images.

    Args:
        folder: Of the images.
        model: Digest of the model.
    """
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = blake2b(os.fsencode(os.path.realpath(folder)) + b"\0" + model.encode(), digest_size=12).hexdigest()
    return cache / "visprog" / "search" / key


def update_index(
    place: Path,
    images: Iterable[tuple[str, Path]],
    encoder: FeatureEncoder,
    dim: int,
    *,
    fresh: bool = False,
    max_pixels: int | None = None,
    say: Callable[[str], None] = lambda message: None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[ImageIndex, Changes]:
    """The index of images, built, or brought up to date: images with another size or time than before are encoded.

    Args:
        place: Folder of the index; made if it is missing.
        images: Names and paths of all images.
        encoder: Makes the features.
        dim: Length of a feature.
        fresh: Whether to build the index anew.
        max_pixels: Larger images are not read; see `Image.open`.
        say: Is told that the index is built anew and why, or that another process has it.
        progress: Is told the number of images that are encoded, and of those that are to be.

    Raises:
        VisprogError: The index cannot be written, or the encoder fails for a reason that is not an image's own.
    """
    found = {name: (path, stamp) for name, path in images if (stamp := _stamp(path)) is not None}
    with (
        claimed(place, lambda: say(f"another process is updating the index {place}: waiting for it")),
        _Store(place, encoder.digest(), dim, fresh, say) as store,
    ):
        removed = [name for name in store.stamps if name not in found]
        for name in removed:
            store.remove(name)
        new = {name: path for name, (path, stamp) in found.items() if store.stamps.get(name) != stamp}
        done = 0
        for batch in _opened(new, max_pixels):
            good = [image for image in batch.values() if isinstance(image, Image)]
            encoded = iter(encoder.image_features(good) if good else [])
            store.add(
                (name, found[name][1], next(encoded) if isinstance(image, Image) else image)
                for name, image in batch.items()
            )
            done += len(batch)
            progress(done, len(new))
        store.compact()
        return ImageIndex(store.features(), store.rows), Changes(len(new), len(removed), dict(store.problems))


class _Store:
    """The files of an index, open to be changed by this process alone.

    Attributes:
        stamps: Of each known image, by name.
        rows: Row of its feature, by name.
        problems: Why an image has none, by name.
    """

    def __init__(self, place: Path, model: str, dim: int, fresh: bool, say: Callable[[str], None]) -> None:
        self.place, self.dim = place, dim
        self.header = {"index": VERSION, "model": model, "dim": dim, "features": "features-0.f16"}
        self.stamps: dict[str, Stamp] = {}
        self.rows: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        self.count = 0
        path = place / JOURNAL
        known = False
        if path.exists() and not fresh:
            try:
                self._read(path)
                known = True
            except (VisprogError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                reason = str(error) if isinstance(error, ValueError | VisprogError) else "it is damaged"
                say(f"the index {place} is built anew: {reason}")
        try:
            if not known:
                self.stamps, self.rows, self.problems, self.count = {}, {}, {}, 0
                self.header["features"] = "features-0.f16"
                path.unlink(missing_ok=True)
                self._file.write_bytes(b"")
            for other in place.glob("features-*.f16"):
                if other != self._file:
                    other.unlink()
        except OSError as error:
            raise self._failure(error) from None
        self.journal = Journal(path)
        if not known:
            self.journal.append(self.header)

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    @property
    def _file(self) -> Path:
        return self.place / str(self.header["features"])

    def _read(self, path: Path) -> None:
        """Take in the journal.

        Raises:
            VisprogError, KeyError, TypeError, ValueError: It is damaged, or of another model.
        """
        lines = read_lines(path)
        header = next(lines, {})
        for key in ("index", "dim", "model"):
            if header.get(key) != self.header[key]:
                raise ValueError("it is of another model" if key == "model" else "it is damaged")
        if not re.fullmatch(r"features-\d+\.f16", header["features"]):
            raise ValueError("it is damaged")
        self.header["features"] = header["features"]
        for line in lines:
            name = line["image"]
            self._forget(name)
            if "removed" in line:
                continue
            self.stamps[name] = Stamp(*line["stamp"])
            if "problem" in line:
                self.problems[name] = line["problem"]
            elif isinstance(line["row"], int) and line["row"] >= 0:
                self.rows[name] = line["row"]
                self.count = max(self.count, line["row"] + 1)
            else:
                raise ValueError("it is damaged")
        if self._file.stat().st_size < self.count * self.dim * 2:
            raise ValueError("it is damaged")

    def _forget(self, name: str) -> None:
        for known in (self.stamps, self.rows, self.problems):
            known.pop(name, None)

    def remove(self, name: str) -> None:
        """An image is there no more."""
        self.journal.append({"image": name, "removed": True})
        self._forget(name)

    def add(self, results: Iterable[tuple[str, Stamp, Features | Exception]]) -> None:
        """Images with their features, or why they have none.

        Raises:
            Exception: A result that is neither, as it is.
            VisprogError: They cannot be written.
        """
        lines: list[dict[str, Any]] = []
        rows: list[Features] = []
        for name, stamp, result in results:
            line: dict[str, Any] = {"image": name, "stamp": stamp}
            if isinstance(result, ImageError | Refused):
                lines.append({**line, "problem": str(result)})
            elif isinstance(result, Exception):
                raise result
            else:
                lines.append({**line, "row": self.count + len(rows)})
                rows.append(result)
        try:
            with open(self._file, "r+b") as file:
                file.seek(self.count * self.dim * 2)
                file.truncate()
                file.write(np.array(rows, np.float16).tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._failure(error) from None
        self.count += len(rows)
        for line in lines:
            self.journal.append(line)
            name = line["image"]
            self._forget(name)
            self.stamps[name] = line["stamp"]
            if "row" in line:
                self.rows[name] = line["row"]
            else:
                self.problems[name] = line["problem"]

    def features(self) -> NDArray[np.float16]:
        """All rows, (n, dim), mapped from the file."""
        if self.count == 0:
            return np.zeros((0, self.dim), np.float16)
        return np.memmap(self._file, np.float16, "c", shape=(self.count, self.dim))

    def compact(self) -> None:
        """Write both files anew if too many rows are of no image.

        Raises:
            VisprogError: They cannot be written; the old ones stay.
        """
        if self.count - len(self.rows) <= _MAX_STALE * self.count:
            return
        before, old = self.features(), self._file
        number = int(old.stem.rpartition("-")[2]) + 1
        names = sorted(self.rows, key=self.rows.__getitem__)
        order = [self.rows[name] for name in names]
        self.header["features"] = f"features-{number}.f16"
        replacing(
            self._file,
            lambda file: file.writelines(
                before[order[i : i + 4096]].tobytes() for i in range(0, len(order), 4096)
            ),
        )
        self.rows = {name: row for row, name in enumerate(names)}
        self.count = len(names)

        def lines() -> Iterator[dict[str, Any]]:
            yield self.header
            for name, stamp in self.stamps.items():
                problem = self.problems.get(name)
                more = {"row": self.rows[name]} if problem is None else {"problem": problem}
                yield {"image": name, "stamp": stamp, **more}

        self.journal.rewrite(lambda _: lines())
        old.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> VisprogError:
        return VisprogError(f"cannot write the index {self.place}: {error.strerror or error}")


def _stamp(path: Path) -> Stamp | None:
    """None if the file is not there any more."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def _opened(paths: Mapping[str, Path], max_pixels: int | None) -> Iterator[dict[str, Image | ImageError]]:
    """Images in batches, by name; the next batch is read while one is worked on."""

    def read(path: Path) -> Image | ImageError:
        try:
            return Image.open(path, max_pixels=max_pixels)
        except ImageError as error:
            return error

    left = iter(paths.items())
    ahead: dict[str, Future[Image | ImageError]] = {}
    with ThreadPoolExecutor(thread_name_prefix="visprog-images") as pool:
        try:
            while True:
                now, ahead = ahead, {name: pool.submit(read, path) for name, path in islice(left, _BATCH)}
                if now:
                    yield {name: future.result() for name, future in now.items()}
                if not ahead:
                    return
        finally:
            pool.shutdown(cancel_futures=True)
