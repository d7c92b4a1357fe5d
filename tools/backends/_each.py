"""A batch of calls answered one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def answer_each(calls: list[dict[str, Any]], one: Callable[..., Any]) -> list[Any]:
    """The result of `one` for the arguments of each call; where that fails, its exception."""
    results: list[Any] = []
    for arguments in calls:
        try:
            results.append(one(**arguments))
        except Exception as error:  # handed to the one caller that it concerns
            results.append(error)
    return results
