from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from visprog.registry import Registry, Tool, describe_function, tool
from visprog.values import Box, Circle, Grid, Image, Line, Located, Polygon, Region, helpers

Picture = Image | Region
Colored = Image | Region | Box | Circle | Polygon | Line


def declared() -> list[Tool]:
    """The planner's vocabulary, by signature alone: what the check and the dry run read of it."""

    @tool
    def detect(image: Image, what: str) -> list[Region]:
        """Find objects."""
        raise NotImplementedError

    @tool
    def find_faces(image: Image) -> list[Region]:
        """Find faces."""
        raise NotImplementedError

    @tool
    def segment(image: Image, region: Region) -> Region:
        """The same region with a mask."""
        raise NotImplementedError

    @tool
    def classify(image: Picture, options: list[str]) -> str:
        """The option that fits best."""
        raise NotImplementedError

    @tool
    def match(image: Picture, text: str) -> float:
        """How well a text fits."""
        raise NotImplementedError

    @tool
    def verify(image: Picture, statement: str) -> bool:
        """Is this true of it?"""
        raise NotImplementedError

    @tool
    def caption(image: Picture) -> str:
        """Describe it."""
        raise NotImplementedError

    @tool
    def vqa(image: Picture, question: str) -> str:
        """Answer a question."""
        raise NotImplementedError

    @tool
    def read_text(image: Picture) -> str:
        """All text."""
        raise NotImplementedError

    @tool
    def find_text(image: Image, text: str = "") -> list[Region]:
        """Lines of text."""
        raise NotImplementedError

    @tool
    def find_qr_codes(image: Image) -> list[Region]:
        """QR codes."""
        raise NotImplementedError

    @tool
    def crop(image: Image, region: Region | Box, margin: float = 0.0) -> Image:
        """Cut out."""
        raise NotImplementedError

    @tool
    def crop_left_of(image: Image, region: Located) -> Image:
        """The part left of it."""
        raise NotImplementedError

    @tool
    def crop_right_of(image: Image, region: Located) -> Image:
        """The part right of it."""
        raise NotImplementedError

    @tool
    def crop_above(image: Image, region: Located) -> Image:
        """The part above it."""
        raise NotImplementedError

    @tool
    def crop_below(image: Image, region: Located) -> Image:
        """The part below it."""
        raise NotImplementedError

    @tool
    def crop_half(image: Image, side: Literal["left", "right", "top", "bottom"]) -> Image:
        """One half."""
        raise NotImplementedError

    @tool
    def dominant_color(image: Colored) -> str:
        """A colour name."""
        raise NotImplementedError

    @tool
    def has_color(image: Colored, color: str) -> bool:
        """Is the colour there?"""
        raise NotImplementedError

    @tool
    def find_lines(image: Image, color: str | None = None) -> list[Line]:
        """Lines."""
        raise NotImplementedError

    @tool
    def find_circles(image: Image, color: str | None = None) -> list[Circle]:
        """Circles."""
        raise NotImplementedError

    @tool
    def find_polygons(image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
        """Polygons."""
        raise NotImplementedError

    @tool
    def find_grid(image: Image) -> Grid:
        """The grid."""
        raise NotImplementedError

    @tool
    def blur_background(image: Image, keep: list[Region]) -> Image:
        """Blur all else."""
        raise NotImplementedError

    @tool
    def color_pop(image: Image, keep: list[Region]) -> Image:
        """Grey all else."""
        raise NotImplementedError

    @tool
    def cover(
        image: Image,
        regions: list[Region],
        style: Literal["box", "blur", "pixelate", "emoji"] = "box",
        emoji: str = "smile",
    ) -> Image:
        """Cover regions."""
        raise NotImplementedError

    @tool
    def tag(image: Image, regions: list[Region], labels: list[str] | None = None) -> Image:
        """Write labels."""
        raise NotImplementedError

    return [value for value in locals().values() if isinstance(value, Tool)]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry([*declared(), *(describe_function(f, pure=True) for f in helpers.FUNCTIONS)])


def programs(name: str) -> list[tuple[str, str]]:
    """A corpus: programs between lines that start with `#:`, each with what that line says."""
    blocks = (Path(__file__).parent / name).read_text(encoding="utf-8").split("#: ")[1:]
    return [(head, body) for head, _, body in (block.partition("\n") for block in blocks)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for kind in ("correct", "wrong"):
        if kind in metafunc.fixturenames:
            cases = programs(f"{kind}.txt")
            metafunc.parametrize(kind, cases, ids=[f"{i}: {head}" for i, (head, _) in enumerate(cases)])


@pytest.fixture(scope="session")
def corpus() -> list[tuple[str, str]]:
    """The correct programs, by name."""
    return programs("correct.txt")
