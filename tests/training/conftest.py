"""What the trainer's tests share."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .encoded import Write


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are made in one order, whatever the machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["folder", "zip"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes files, by name, into a folder or a zip archive."""

    def folder(files: dict[str, bytes | str]) -> Path:
        for name, data in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return tmp_path / "data"

    def archive(files: dict[str, bytes | str]) -> Path:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
            for name, data in files.items():
                file.writestr(name, data)
        return tmp_path / "data.zip"

    return folder if request.param == "folder" else archive
