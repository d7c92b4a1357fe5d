"""Small tools, a planner that says what it is told to, and an image: for tests of the framework alone."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from visprog.errors import PlannerError, Refused
from visprog.llm.chat import Tokens
from visprog.planner.base import Plan, PlanRequest
from visprog.registry import Registry, describe_function, tool
from visprog.runtime.steps import Step
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region, helpers
from visprog.values.image import Image


@tool
def detect(image: Image, what: str) -> list[Region]:
    """Two things side by side, the second with a mask; none where a "ghost" is looked for."""
    if what == "ghost":
        return []
    if what == "unicorn":
        raise Refused("no unicorn can be seen here: install a detector of unicorns")
    if what == "crash":
        raise RuntimeError("the detector fell over")
    x, y = image.origin.x, image.origin.y
    left = Region(Box(x + 2, y + 4, x + 20, y + 24), what, 0.9, image.root)
    spot = Mask(np.eye(10, dtype=bool), Box(x + 30, y + 10, x + 40, y + 20))
    return [left, Region(spot.box, what, 0.6, image.root, spot)]


@tool
def crop(image: Image, region: Region | Box) -> Image:
    """The part of the image under a region."""
    return image.crop(region)


@tool
def invert(image: Image) -> Image:
    """A copy of the image in opposite colours."""
    return Image(255 - image.pixels, name="inverted")


@tool
def read_text(image: Image | Region) -> str:
    """What is written there."""
    return "STOP"


@tool
def find_shapes(image: Image) -> list[Circle | Line | Polygon | Grid | Point]:
    """One drawn shape of each kind."""
    corners = (Point(1, 1), Point(30, 5), Point(12, 30))
    return [
        Circle(Point(20, 20), 8, "red"),
        Line(corners, "blue"),
        Polygon(corners, None),
        Grid(3, 4, Box(5, 5, 55, 35)),
        Point(3, 3),
    ]


@tool
def lie(image: Image) -> int:
    """A number, it says."""
    return "seven"  # type: ignore[return-value]


HELPERS = [describe_function(f, pure=True) for f in helpers.FUNCTIONS]
REGISTRY = Registry([detect, crop, invert, read_text, find_shapes, lie, *HELPERS])


class FakePlanner:
    """Gives the programs that it was made with, one a call; remembers what it was asked."""

    name = "fake"

    def __init__(self, *programs: str, probability: float | None = None) -> None:
        self.programs = list(programs)
        self.probability = probability
        self.asked: list[tuple[PlanRequest, Step | None]] = []

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        self.asked.append((request, failed))
        if not self.programs:
            raise PlannerError("the fake planner has no program left")
        said, self.programs = self.programs[:n], self.programs[n:]
        return [Plan(p, self.name, self.probability, Tokens(10, 5), 0.01) for p in said]


class SlowBackend:
    """Notes the size of each batch; the first waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.started = threading.Event()
        self.go = threading.Event()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        self.batches.append(calls)
        self.started.set()
        self.go.wait(20)
        return [ValueError("odd one") if c["what"] == "bad" else [] for c in calls]


def picture(width: int = 60, height: int = 40, value: int = 120, name: str = "test.png") -> Image:
    """A plain image with a darker corner."""
    pixels = np.full((height, width, 3), value, np.uint8)
    pixels[: height // 4, : width // 4] = 20
    return Image(pixels, name=name)
