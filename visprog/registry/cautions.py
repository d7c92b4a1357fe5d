"""What a tool wants a person to know of its result, beside the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_collected: ContextVar[list[str] | None] = ContextVar("visprog_cautions", default=None)


def caution(sentence: str) -> None:
    """Say, from inside a tool, what a person should know before they rely on the result. It stands in the answer.

    Outside of a call by a program it has no effect.
    """
    collected = _collected.get()
    if collected is not None and sentence not in collected:
        collected.append(sentence)


@contextmanager
def cautions() -> Iterator[list[str]]:
    """Collect the cautions of a tool while it works."""
    collected: list[str] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
