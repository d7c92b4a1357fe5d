"""Fixtures for the whole test suite, and how hypothesis searches.

Its examples are the same in every run, so that a change is judged by what it changes.
`HYPOTHESIS_PROFILE=search python -m pytest …` looks for new ones instead, many more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from visprog.values.image import Image

ROOT = Path(__file__).resolve().parent.parent

# One thread a process: sums come out the same on every machine, and the workers of `-n 2` do not share cores.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# What a test computes comes from the code that it tests, not from what an earlier run has kept.
os.environ.setdefault("VISPROG_TEXT_CACHE", "off")

settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data, photographs and models that is not part of the repository."""
    path = Path(os.environ.get("VISPROG_SHARED", ROOT / "../shared"))
    if not path.is_dir():
        pytest.skip(f"there is no folder {path} of shared data; set VISPROG_SHARED")
    return path


@pytest.fixture(scope="session")
def photo(shared: Path) -> Callable[[str], Image]:
    """A photograph by name: `photo("dog")`."""

    def read(name: str) -> Image:
        found = sorted((shared / "photos").glob(f"{name}.*"))
        if not found:
            pytest.skip(f"there is no photograph '{name}' in {shared / 'photos'}")
        return Image.open(found[0])

    return read
