"""BlindTest: drawings that are easy for people and hard for large models. (Rahmanzadehgervi et al., 2024)"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...values import Grid
from ..answers import same, whole_number_of, yes_no_of
from ..benchmark import Item
from ..metrics import Row, accuracy, kinds
from .published import Published


class BlindTest(Published):
    """Reads `questions.jsonl` (image, task, question, answer), the images, and `published_accuracy.json` with the
    scores of large models, in percent.

    An answer is a number; yes or no; or a pair of rows and columns, also as a grid. Metrics: accuracy, and its
    mean over the tasks, which are the kinds.
    """

    name = "blindtest"

    def entries(self) -> Iterable[tuple[str, Any]]:
        return enumerate_lines(self.files.lines(self.files.find("questions.jsonl")))

    def items(self, entry: Any) -> Iterable[Item]:
        number, question = entry
        answer = question["answer"]
        truth = yes_no_of(answer) if isinstance(answer, str) else answer
        if truth is None:
            raise ValueError(f"the answer {answer!r} is neither yes nor no nor a number")
        returns = None if isinstance(truth, list) else type(truth)
        yield Item(
            f"{question['task']}-{number:04d}",
            question["question"],
            (self.files.image(question["image"]),),
            truth,
            returns,
            question["image"],
            {"kind": question["task"]},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        if isinstance(item.answer, list):
            return {"correct": float(_rows_and_columns(value) == item.answer)}
        return {"correct": float(same(value, item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        tasks = [accuracy(members) for members in kinds(rows).values()]
        return {"accuracy": accuracy(rows), "mean_over_tasks": sum(tasks) / len(tasks)}

    def published(self) -> Mapping[str, Mapping[str, float]]:
        found: dict[str, dict[str, float]] = self.files.json(self.files.find("published_accuracy.json"))
        return found


def enumerate_lines(lines: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    """Entries with their number, counted from 0."""
    return ((where, (number, entry)) for number, (where, entry) in enumerate(lines))


def _rows_and_columns(value: Any) -> list[int | None]:
    """[rows, columns] of a grid, of a pair in this order or with these names, or of a text with two numbers."""
    if isinstance(value, Grid):
        return [value.rows, value.columns]
    if isinstance(value, str):
        value = re.findall(r"\d+", value)
    elif isinstance(value, dict):
        value = [value.get("rows"), value.get("columns")]
    return [whole_number_of(v) for v in value] if isinstance(value, list | tuple) else []
