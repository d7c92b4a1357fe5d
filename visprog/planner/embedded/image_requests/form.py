"""What a request becomes: the lines of a program and its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ....registry import Registry
from ....values import Box, Region
from ..support import CorpusWords

Kind: TypeAlias = Literal[
    "image", "int", "float", "bool", "str", "size", "regions", "texts", "rows", "fields"
]

EXAMPLES: Mapping[Kind, Any] = {
    "int": 2, "float": 0.5, "bool": True, "str": "red", "size": [640, 480],
    "regions": [Region(Box(0, 0, 1, 1), "", 1.0)], "texts": ["a"], "rows": [["a"]], "fields": {"a": "b"},
}  # fmt: skip
"""A value of each kind of answer but images."""


@dataclass(frozen=True)
class Body:
    """What a program does: lines, then the expression of its answer. A line may `print` what was measured, and how."""

    kind: Kind
    value: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageRequest:
    """A sentence that has the words of a form.

    Attributes:
        words: What the groups of the form matched.
        images: Number of images that are given.
        registry: Tools that the program may call.
        known: Words that the corpus of the planner knows.
    """

    words: Mapping[str, str | None]
    images: int
    registry: Registry
    known: CorpusWords

    def __getitem__(self, group: str) -> str:
        return self.words.get(group) or ""

    def number(self, group: str) -> float:
        """The number that a group matched."""
        return float(self[group])


class NotOfThisForm(Exception):
    """A sentence has the words of a form, and asks for something else."""


Build: TypeAlias = Callable[[ImageRequest], Body]
Forms: TypeAlias = Mapping[Build, tuple[str, ...]]
"""What builds a program → the sentences for it, as regular expressions of whole sentences."""


def compiled(forms: Forms) -> list[tuple[re.Pattern[str], Build]]:
    return [(re.compile(pattern), build) for build, patterns in forms.items() for pattern in patterns]


def literal(number: float) -> str:
    """A number as a program writes it."""
    return f"{number:.6g}"


def nothing(message: str) -> str:
    """The line that ends a program without an answer; `message` is the inside of a string, with values in braces."""
    return f'    raise NothingFound({"f" * ("{" in message)}"{message}")'
