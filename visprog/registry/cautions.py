"""What a tool wants a person to know of its result, beside the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_said: ContextVar[list[str] | None] = ContextVar("visprog_cautions", default=None)


def caution(sentence: str) -> None:
    """Say, from inside a tool, what a person should know before they rely on the result. It stands in the answer.

    Outside of a call by a program it has no effect.
    """
    said = _said.get()
    if said is not None and sentence not in said:
        said.append(sentence)


@contextmanager
def cautions() -> Iterator[list[str]]:
    """Collect what is said while a tool works."""
    said: list[str] = []
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)
