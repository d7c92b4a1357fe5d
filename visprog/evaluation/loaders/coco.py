"""COCO detection: every thing of 80 kinds. (Lin et al., 2014)"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from ...errors import MissingExtra
from ...values import Box, Region
from ..benchmark import Item
from ..metrics import Row
from .published import Published, need, numbered

STATISTICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
              "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large")  # fmt: skip


class COCODetection(Published):
    """Reads `instances_SPLIT.json` (val2017, or another that is there) and the pictures that it names.

    A picture is one question, whose answer is a list of regions with the names of categories as labels. Metrics:
    those of pycocotools over the pictures that were asked, errors counting as pictures in which nothing was found.
    The score of one picture is the F1 of its boxes at an intersection over union of 0.5.
    """

    name = "coco"
    repeatable: ClassVar[bool] = False

    def entries(self) -> Iterable[tuple[str, Any]]:
        return numbered(self._name, need(self._truth, "images", self._name))

    def items(self, entry: Any) -> Iterable[Item]:
        boxes = [
            {"label": self._categories[a["category_id"]], "box": a["bbox"]}
            for a in self._annotations.get(entry["id"], ())
            if not a.get("iscrowd")
        ]
        yield Item(
            str(entry["id"]),
            f"Find every {', '.join(self._categories.values())}",
            (self.files.image(entry["file_name"]),),
            boxes,
            list[Region],
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        values = value if isinstance(value, list | tuple) else [value]
        found = sorted((v for v in values if isinstance(v, Region)), key=lambda r: -r.score)
        free = [(b["label"].casefold(), _box(b["box"])) for b in item.answer]
        hits, total = 0, len(found) + len(free)
        for region in found:
            fitting = [t for t in free if t[0] == region.label.casefold() and t[1].iou(region) >= 0.5]
            if fitting:
                free.remove(max(fitting, key=lambda t: t[1].iou(region)))
                hits += 1
        return {"f1": 2 * hits / total if total else float(value is not None)}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        numbers = {name.casefold(): key for key, name in self._categories.items()}
        found = [
            {"image_id": int(row["id"]), "category_id": numbers[region["label"].casefold()],
             "bbox": _corner_and_size(region["box"]), "score": region["score"]}
            for row in rows
            for region in (row["answer"] if isinstance(row["answer"], list) else [])
            if isinstance(region, dict) and region.get("label", "").casefold() in numbers
        ]  # fmt: skip
        return self._evaluate([int(row["id"]) for row in rows], found)

    def _evaluate(self, images: Sequence[int], found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError:
            raise MissingExtra("the metric of COCO", "bench") from None
        if not found:  # pycocotools cannot read an empty list
            return dict.fromkeys(STATISTICS, 0.0)
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = self._truth
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(list(found)), "bbox")
            evaluation.params.imgIds = list(images)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # It writes -1 where there is nothing of a size.
        return {n: float(v) for n, v in zip(STATISTICS, evaluation.stats, strict=True) if v >= 0}

    @cached_property
    def _name(self) -> str:
        return self.files.find(f"instances_{self.split or 'val2017'}.json", "instances*.json")

    @cached_property
    def _truth(self) -> dict[str, Any]:
        data: dict[str, Any] = self.files.json(self._name)
        for annotation in need(data, "annotations", self._name):
            annotation.setdefault("iscrowd", 0)
        return data

    @cached_property
    def _categories(self) -> dict[int, str]:
        return {c["id"]: c["name"] for c in need(self._truth, "categories", self._name)}

    @cached_property
    def _annotations(self) -> dict[int, list[Mapping[str, Any]]]:
        found: dict[int, list[Mapping[str, Any]]] = {}
        for annotation in self._truth["annotations"]:
            found.setdefault(annotation["image_id"], []).append(annotation)
        return found


def _box(corner_and_size: Sequence[float]) -> Box:
    left, top, width, height = map(float, corner_and_size)
    return Box(left, top, left + width, top + height)


def _corner_and_size(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
