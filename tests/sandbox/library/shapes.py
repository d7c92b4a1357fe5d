"""A small library for the tests: values and functions that run next to the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visprog.sandbox import Library, ValueType


class NothingFound(ValueError):
    """An empty list was given."""


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        for value in (self.left, self.top, self.right, self.bottom):
            if type(value) not in (int, float):
                raise TypeError("a box has four numbers")
        if self.left > self.right or self.top > self.bottom:
            raise ValueError("a box ends after it begins")

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def area(self) -> float:
        return self.width * (self.bottom - self.top)

    def left_of(self, other: Box) -> bool:
        return self.right <= other.left

    def secret(self) -> str:
        return "not listed"


@dataclass(frozen=True)
class Region:
    box: Box
    label: str = ""
    image: Any = None

    def __post_init__(self) -> None:
        if type(self.box) is not Box:
            raise TypeError("a region has a box")


def largest(regions: list[Region]) -> Region:
    if not regions:
        raise NothingFound("largest was given an empty list")
    return max(regions, key=lambda region: region.box.area)


LIBRARY = Library(
    types=(
        ValueType(
            Box,
            ("left", "top", "right", "bottom"),
            ("left", "top", "right", "bottom", "width", "area", "left_of"),
        ),
        ValueType(Region, ("box", "label", "image"), ("box", "label", "image")),
    ),
    functions={"largest": largest},
    errors=(NothingFound,),
)
