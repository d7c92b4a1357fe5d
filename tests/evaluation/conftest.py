"""Small data sets in the layouts in which the benchmarks are published, and a benchmark that needs no data."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from visprog.evaluation.answers import same
from visprog.evaluation.benchmark import Benchmark, Item


def png(width: int = 12, height: int = 8, color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """An image of one colour."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((height, width, 3), color, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


Write = Callable[[Mapping[str, Any]], Path]


def encoded(content: Any, name: str) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, list) and name.endswith("l"):
        return "".join(json.dumps(line) + "\n" for line in content).encode()
    return json.dumps(content).encode()


@pytest.fixture(params=["folder", "zip"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes files of a data set: bytes, text, or what becomes JSON (a list becomes lines where the name ends in l)."""

    def write(files: Mapping[str, Any]) -> Path:
        if request.param == "zip":
            path = tmp_path / "data.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, encoded(content, name))
            return path
        for name, content in files.items():
            file = tmp_path / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(content, name))
        return tmp_path / "data"

    return write


class Widths(Benchmark):
    """Is an image wider than 10 pixels? Images of 8, 9, 10, … pixels."""

    name = "widths"

    def __init__(self, count: int = 4, *, broken: int | None = None) -> None:
        super().__init__(Path("widths"))
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        for number in range(self.count):
            width = 8 + number
            data = b"no picture" if number == self.broken else png(width)
            kind = "wide" if width > 10 else "narrow"
            yield Item(f"w{number}", "Is it wide?", (data,), width > 10, bool, details={"kind": kind})

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(value is not None and same(value, item.answer))}

    def oracle(self, item: Item) -> Mapping[str, Callable[..., Any]]:
        return {"verify": lambda image, statement: item.answer}
