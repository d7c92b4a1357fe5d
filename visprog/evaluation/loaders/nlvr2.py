"""NLVR2: is a sentence true of two photographs? (Suhr et al., 2019)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers import yes_no_of
from ..benchmark import Item
from ..metrics import Row, accuracy, all_right
from .published import Published


class NLVR2(Published):
    """Reads `SPLIT.json` (dev, test1, train, or balanced_dev and the like), lines of JSON, and the images
    `SPLIT-SET-PAIR-img0.png` and `-img1.png` in any folder.

    Metrics: accuracy, and consistency: the share of sentences that are answered right for all their pairs.
    """

    name = "nlvr2"

    def entries(self) -> Iterable[tuple[str, Any]]:
        return self.files.lines(self.files.find(f"{self.split or 'dev'}.json"))

    def items(self, entry: Any) -> Iterable[Item]:
        part, group, pair, sentence = entry["identifier"].rsplit("-", 3)
        truth = yes_no_of(entry["label"])
        if truth is None:
            raise ValueError(f"the label {entry['label']!r} is neither True nor False")
        images = tuple(self.files.image(f"{part}-{group}-{pair}-img{k}.png") for k in (0, 1))
        yield Item(entry["identifier"], entry["sentence"], images, truth, bool, f"{part}-{group}-{sentence}")

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(yes_no_of(value) is item.answer)}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        return {"accuracy": accuracy(rows), "consistency": all_right(rows)}
