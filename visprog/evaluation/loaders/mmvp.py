"""MMVP: pairs of images that CLIP cannot distinguish, with one question each. (Tong et al., 2024)"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers import choice_of
from ..benchmark import Item
from ..metrics import Row, accuracy, all_right
from .published import Published


class MMVP(Published):
    """Reads `Questions.csv` (Index, Question, Options, Correct Answer) and the images `MMVP Images/INDEX.jpg`.

    Metrics: pair accuracy (both questions of a pair right: indices 1 and 2, 3 and 4, …), and accuracy.
    """

    name = "mmvp"

    def entries(self) -> Iterable[tuple[str, Any]]:
        return self.files.rows(self.files.find("Questions.csv"))

    def items(self, entry: Any) -> Iterable[Item]:
        index = int(entry["Index"])
        options = [text.strip() for text in re.split(r"\([a-z]\)", entry["Options"])[1:]]
        truth = choice_of(entry["Correct Answer"], options)
        if truth is None:
            raise ValueError(f"the answer {entry['Correct Answer']!r} is none of {entry['Options']!r}")
        yield Item(
            str(index),
            f"{entry['Question'].strip()} {entry['Options'].strip()}",
            (self.files.image(f"MMVP Images/{index}.jpg"),),
            options[truth],
            group=str((index + 1) // 2),
            details={"choices": options},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        choices = item.details["choices"]
        return {"correct": float(choice_of(value, choices) == choices.index(item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        return {"pair_accuracy": all_right(rows), "accuracy": accuracy(rows)}
