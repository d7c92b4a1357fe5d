"""Metrics over rows of results.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def means(rows: Sequence[Row]) -> dict[str, float]:
    """The mean of every score, over the rows that have it."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["scores"].items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def accuracy(rows: Iterable[Row]) -> float:
    """Share of rows that are right; NaN if there are none."""
    return _share([row["scores"]["correct"] == 1 for row in rows])


def all_right(rows: Iterable[Row]) -> float:
    """Share of groups in which every row is right: consistency, pair accuracy. NaN if there are none."""
    return _share([all(r["scores"]["correct"] == 1 for r in members) for members in groups(rows).values()])


def groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each group, in order; rows without a group are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["group"]:
            found.setdefault(row["group"], []).append(row)
    return found


def kinds(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each type of question ("kind"), in order; rows without one are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("kind"):
            found.setdefault(row["kind"], []).append(row)
    return found


def yes_no(truths: Sequence[bool], answers: Sequence[bool | None]) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of the answer yes, and the share of yes among the answers.

    Args:
        truths: Ground truth per question.
        answers: Answer per question; None for no answer, which counts as wrong, and neither as yes nor as no.

    Returns:
        The metrics by name. Precision is 0 if no answer is yes, recall is 0 if no truth is yes.
    """
    pairs = list(zip(truths, answers, strict=True))
    hits = sum(t and a is True for t, a in pairs)
    answered_yes, true_yes = sum(a is True for a in answers), sum(truths)
    precision = hits / answered_yes if answered_yes else 0.0
    recall = hits / true_yes if true_yes else 0.0
    both = precision + recall
    return {
        "accuracy": _share([t is a for t, a in pairs]),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / both if both else 0.0,
        "yes_share": _share([a is True for a in answers]),
    }


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else float("nan")
