from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "library")]  # plain modules: the worker imports the library by its name


class Image:
    """An object that crosses as a handle."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.root = self


@pytest.fixture
def image() -> Image:
    return Image(40, 30)


@pytest.fixture(scope="session")
def sandbox():
    from visprog.sandbox import Sandbox

    with Sandbox(standby=2) as sandbox:
        yield sandbox
