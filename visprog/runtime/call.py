"""A call of a tool, as it is recorded in the trace of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of a tool by a program.

    Attributes:
        tool: its name.
        arguments: by name, defaults included; as given where they could not be bound.
        result: what it returned; None where it failed.
        error: why it failed, in one sentence; empty where it did not.
        line: the line of the program that made the call.
        seconds: that it took.
        cached: the result was known from an equal call before.
        backend: that did the work; empty for a plain function.
        caller: the tool that made the call; empty if the program itself did.
        cautions: what a person should know of the result, in whole sentences.
    """

    tool: str
    arguments: Mapping[str, Any]
    result: Any = None
    error: str = ""
    line: int | None = None
    seconds: float = 0.0
    cached: bool = False
    backend: str = ""
    caller: str = ""
    cautions: tuple[str, ...] = ()
