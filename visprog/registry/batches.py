"""A batch of calls, answered one after another: for backends that gain nothing from a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def answer_each(calls: list[dict[str, Any]], answer: Callable[..., Any]) -> list[Any]:
    """Results of `answer` for the arguments of each call; its exception in the place of a result that failed."""
    results: list[Any] = []
    for arguments in calls:
        try:
            results.append(answer(**arguments))
        except Exception as error:  # handed to the one caller that it concerns
            results.append(error)
    return results
