"""GQA: compositional questions about photographs. (Hudson and Manning, 2019)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers import normalise, text_of
from ..benchmark import Item
from ..metrics import Row, accuracy
from .published import Published, numbered


class GQA(Published):
    """Reads `SPLIT_questions.json` (testdev_balanced, val_balanced, testdev_all, …) and the images
    `IMAGE.jpg` of images.zip.

    Metrics: accuracy; binary and open: that of questions with two possible answers and of the others, by the
    structural type, as in the official evaluation. Kinds are the structural types.
    """

    name = "gqa"

    def entries(self) -> Iterable[tuple[str, Any]]:
        name = self.files.find(f"{self.split or 'testdev_balanced'}_questions.json")
        return numbered(name, self.files.json(name))

    def items(self, entry: Any) -> Iterable[Item]:
        key, question = entry
        yield Item(
            key,
            question["question"],
            (self.files.image(f"{question['imageId']}.jpg"),),
            str(question["answer"]),
            details={"kind": question["types"]["structural"]},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(value is not None and normalise(text_of(value)) == normalise(item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        is_open = [row["kind"] == "query" for row in rows]
        parts = {
            "binary": [r for r, o in zip(rows, is_open, strict=True) if not o],
            "open": [r for r, o in zip(rows, is_open, strict=True) if o],
        }
        return {"accuracy": accuracy(rows), **{k: accuracy(part) for k, part in parts.items() if part}}
