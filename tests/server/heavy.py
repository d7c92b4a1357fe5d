"""Backends with weights that weigh what they say, and what they do is noted."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from visprog.errors import MissingExtra, Refused, ToolError
from visprog.registry import tool
from visprog.values.image import Image

MIB = 1 << 20


class Heavy:
    """So many MiB, it says."""

    events: ClassVar[list[str]] = []
    go: ClassVar[threading.Event] = threading.Event()

    def __init__(
        self, model: str | None = None, *, mib: int = 10, name: str = "heavy", wait: bool = False
    ) -> None:
        self.model, self.name, self.wait = model, name, wait
        self.footprint = mib * MIB
        self.events.append(f"build {name}")

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        self.events.append(f"begin {self.name}")
        if self.wait:
            assert self.go.wait(20)
        self.events.append(f"end {self.name}")
        return [self.name for _ in calls]

    def unload(self) -> None:
        self.events.append(f"unload {self.name}")


class Measured:
    """Says nothing of its size; its weights lie in a file or a folder."""

    def __init__(self, model: str | None = None) -> None:
        self.model = model

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [self.model for _ in calls]


class Judge:
    """Fails in several ways, call by call; knows the size of its batch."""

    def __init__(self, model: str | None = None, *, offset: int = 0) -> None:
        self.offset = offset

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        failures = {
            "refuse": Refused("cannot see that"),
            "extra": MissingExtra("this", "hf"),
            "tool": ToolError("nothing there"),
            "bug": ZeroDivisionError("by zero"),
        }
        return [failures.get(c["what"], c["image"].width + self.offset) for c in calls]


@tool(backends={"judge": "tests.server.heavy:Judge"})
def width_at(image: Image, what: str) -> int:
    """The width of an image."""
    raise NotImplementedError


@tool(backends={"heavy": "tests.server.heavy:Heavy", "measured": "tests.server.heavy:Measured"})
def weigh(image: Image) -> str:
    """Who did it."""
    raise NotImplementedError
