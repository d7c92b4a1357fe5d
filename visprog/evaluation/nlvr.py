"""NLVR: is a sentence true of an image of three boxes with shapes? (Suhr, Lewis, Yeh and Artzi, 2017)"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..values import Box
from .answers import yes_no_of
from .benchmark import Item
from .loaders.published import Published
from .metrics import Row, accuracy, all_right
from .oracle import DrawnObject, ShapesOracle

BOX, STEP = 100, 150
"""Width and height of a box, and the distance from one box to the next, in pixels."""

COLORS = {"#0099ff": "blue", "black": "black", "yellow": "yellow"}
SIZES = {10: "small", 20: "medium", 30: "large"}
ORDERS = tuple(itertools.permutations(range(3)))
"""Order of the boxes in each of the six images of an example."""


class NLVR(Published):
    """Reads `SPLIT.json` (dev, train or test), lines of JSON, and the images `SPLIT-SENTENCE-EXAMPLE-ORDER.png` in
    any folder, six per example.

    Metrics: accuracy over the images; consistency, the share of sentences that are answered right for all their
    images; permutations, the share of examples that are answered right in all six orders of their boxes. Kinds
    are towers (one stack of blocks per box) and scattered items. The oracle knows every shape.
    """

    name = "nlvr"

    def entries(self) -> Iterable[tuple[str, Any]]:
        names = (self.split,) if self.split else ("dev", "test", "train")
        self.part = self.files.find(*(f"{name}.json" for name in names))
        return self.files.lines(self.part)

    def items(self, entry: Any) -> Iterator[Item]:
        part = self.part.rpartition("/")[2].removesuffix(".json")
        example = f"{part}-{entry['identifier']}"
        truth = yes_no_of(entry["label"])
        if truth is None:
            raise ValueError(f"the label {entry['label']!r} is neither true nor false")
        boxes = [[_shape(raw) for raw in box] for box in entry["structured_rep"]]
        stacked = all(s["shape"] == "square" and s["box"][0] == 40 for box in boxes for s in box)
        kind = "towers" if stacked else "scattered"
        for number, order in enumerate(ORDERS):
            scene = [
                {**shape, "box": _shifted(shape["box"], STEP * place)}
                for place, box in enumerate(order)
                for shape in boxes[box]
            ]
            image = self.files.image(f"{example}-{number}.png")
            details = {"kind": kind, "scene": scene}
            sentence = example.rpartition("-")[0]
            yield Item(f"{example}-{number}", entry["sentence"], (image,), truth, bool, sentence, details)

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(yes_no_of(value) is item.answer)}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        # The group may have a suffix of the bootstrap, which must stay: a group that is drawn twice counts as two.
        examples = [{**row, "group": f"{row['group']}/{row['id'].rpartition('-')[0]}"} for row in rows]
        return {
            "accuracy": accuracy(rows),
            "consistency": all_right(rows),
            "permutations": all_right(examples),
        }

    def oracle(self, item: Item) -> Mapping[str, Callable[..., Any]]:
        objects = [
            DrawnObject(Box(*s["box"]), s["shape"], s["color"], s["size"]) for s in item.details["scene"]
        ]
        return ShapesOracle(objects, [Box(STEP * k, 0, STEP * k + BOX, BOX) for k in range(3)]).tools()


def _shape(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A shape: its box (left, top, right, bottom) in pixels of its grey box, its form, colour and size."""
    x, y, side = (float(raw[key]) for key in ("x_loc", "y_loc", "size"))
    return {
        "box": (x, y, x + side, y + side),
        "shape": str(raw["type"]).lower(),
        "color": COLORS[str(raw["color"]).lower()],
        "size": SIZES.get(int(side), ""),
    }


def _shifted(box: tuple[float, float, float, float], dx: float) -> tuple[float, float, float, float]:
    return (box[0] + dx, box[1], box[2] + dx, box[3])
