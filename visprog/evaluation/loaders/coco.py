"""COCO detection: every object of 80 classes. (Lin et al., 2014)"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from ...errors import MissingExtra, VisprogError
from ...values import Box, Region
from ..benchmark import Item
from ..metrics import Row
from .frames import Frames
from .published import Published, id_text, need, numbered

STATISTICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
              "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large")  # fmt: skip


class COCODetection(Published):
    """Reads `instances_SPLIT.json` (val2017 by default) and the images that it names.

    An image is one question, whose answer is a list of regions with the names of categories as labels. Metrics:
    those of pycocotools over the images that were asked, with an error counted as an image in which nothing was found.
    The score of one image is the F1 of its boxes at an intersection over union of 0.5.

    Boxes of an image with an EXIF orientation are rotated with it.

    Raises:
        VisprogError: Before the first question, if an annotation has no box or is of an unknown image or category, or
            if an image has another size than stated.
    """

    name = "coco"
    repeatable: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self._images)

    def entries(self) -> Iterable[tuple[str, Any]]:
        return numbered(self._name, list(self._images.values()))

    def items(self, entry: Any) -> Iterable[Item]:
        key = id_text(entry["id"])
        boxes = [
            {"label": self._categories[a["category_id"]], "box": a["bbox"]}
            for a in self._annotations_of(key)
            if not a["iscrowd"]
        ]
        yield Item(
            key,
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

    def check(self, limit: int | None = None) -> None:
        super().check(limit)
        key = next(iter(self._images))
        row = {
            "id": key,
            "answer": [
                {"label": next(iter(self._categories.values()), ""), "box": [0, 0, 1, 1], "score": 1.0}
            ],
        }
        try:
            self.summary([row])
        except MissingExtra:
            raise
        except Exception as error:  # depends on the installed version of pycocotools
            raise VisprogError(f"pycocotools cannot compute the metric of {self._name}: {error!r}") from error

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        numbers = {name.casefold(): key for key, name in self._categories.items()}
        numbers |= {name: key for key, name in self._categories.items()}
        images = {row["id"]: number for number, row in enumerate(rows, 1)}
        found = []
        for row in rows:
            for region in row["answer"] if isinstance(row["answer"], list) else []:
                label = region.get("label", "") if isinstance(region, dict) else ""
                number = numbers.get(label, numbers.get(label.casefold()))
                if number is not None:
                    found.append(
                        {"image_id": images[row["id"]], "category_id": number,
                         "bbox": _corner_and_size(region["box"]), "score": region["score"]}
                    )  # fmt: skip
        return self._evaluate(images, found)

    def _evaluate(self, images: Mapping[str, int], found: list[dict[str, Any]]) -> dict[str, float]:
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError:
            raise MissingExtra("the metric of COCO", "bench") from None
        if not found:  # pycocotools cannot read an empty list
            return dict.fromkeys(STATISTICS, 0.0)
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = self._dataset(images)
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # It returns -1 if there is no object of a size.
        return {n: float(v) for n, v in zip(STATISTICS, evaluation.stats, strict=True) if v >= 0}

    def _dataset(self, images: Mapping[str, int]) -> dict[str, Any]:
        """The ground truth of some images, with all fields that some version of pycocotools needs.

        Ids count from 1: pycocotools treats a match with annotation 0 as no match.
        """
        annotations = [
            {**a, "image_id": number} for key, number in images.items() for a in self._annotations_of(key)
        ]
        return {
            "info": {},
            "licenses": [],
            "images": [{"id": number} for number in images.values()],
            "annotations": [{**a, "id": number} for number, a in enumerate(annotations, 1)],
            "categories": [{"id": key, "name": name} for key, name in self._categories.items()],
        }

    def _annotations_of(self, key: str) -> list[dict[str, Any]]:
        """The annotations of an image, with boxes (left, top, width, height) in its frame after EXIF orientation."""
        image, annotations = self._images[key], self._annotations.get(key, [])
        boxes = [
            [a["bbox"][0], a["bbox"][1], a["bbox"][0] + a["bbox"][2], a["bbox"][1] + a["bbox"][3]]
            for a in annotations
        ]
        shown = self._frames.shown(image["file_name"], (image.get("width"), image.get("height")), boxes)
        return [{**a, "bbox": _corner_and_size(box)} for a, box in zip(annotations, shown, strict=True)]

    @cached_property
    def _frames(self) -> Frames:
        return Frames(self.files)

    @cached_property
    def _name(self) -> str:
        return self.files.find(f"instances_{self.split or 'val2017'}.json", "instances*.json")

    @cached_property
    def _truth(self) -> dict[str, Any]:
        data: dict[str, Any] = self.files.json(self._name)
        for part in ("images", "annotations", "categories"):
            rows = need(data, part, self._name)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise VisprogError(f"{self._name}: '{part}' must be a list of mappings")
        return data

    @cached_property
    def _images(self) -> dict[str, Any]:
        """Images by their ids as text, which are the ids of the questions."""
        found: dict[str, Any] = {}
        for image in self._truth["images"]:
            key = id_text(image.get("id"))
            if key in found:
                raise VisprogError(f"{self._name}: two images have the id {key}")
            if not isinstance(image.get("file_name"), str):
                raise VisprogError(f"{self._name}: the image {key} has no file_name")
            found[key] = image
        if not found:
            raise VisprogError(f"{self._name} has no images")
        return found

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Number of each category, in the order of the file."""
        return {id_text(c.get("id")): number for number, c in enumerate(self._truth["categories"], 1)}

    @cached_property
    def _categories(self) -> dict[int, str]:
        names = [str(c.get("name", "")) for c in self._truth["categories"]]
        if len(set(names)) < len(names) or len(self._numbers) < len(names):
            raise VisprogError(f"{self._name}: two categories have one id or one name")
        return dict(enumerate(names, 1))

    @cached_property
    def _annotations(self) -> dict[str, list[dict[str, Any]]]:
        """The annotations as pycocotools reads them, by the ids of their images; categories are our numbers."""
        found: dict[str, list[dict[str, Any]]] = {}
        for place, annotation in enumerate(self._truth["annotations"], 1):
            where = f"{self._name}, annotation {place}"
            key, category = id_text(annotation.get("image_id")), id_text(annotation.get("category_id"))
            if key not in self._images:
                raise VisprogError(f"{where} is of the image {key}, which is not listed")
            if category not in self._numbers:
                raise VisprogError(f"{where} is of the category {category}, which is not listed")
            try:
                left, top, width, height = (float(v) for v in annotation["bbox"])
            except (KeyError, TypeError, ValueError):
                raise VisprogError(
                    f"{where} has no 'bbox' of four numbers: left, top, width, height"
                ) from None
            if not all(map(math.isfinite, (left, top, width, height))) or width < 0 or height < 0:
                raise VisprogError(
                    f"{where} has the box {annotation['bbox']}: it is not finite, or its width or height is negative"
                )
            area = annotation.get("area")
            usable = isinstance(area, int | float) and math.isfinite(area) and area >= 0
            found.setdefault(key, []).append(
                {
                    "category_id": self._numbers[category],
                    "bbox": [left, top, width, height],
                    "area": area if usable else width * height,
                    "iscrowd": int(annotation.get("iscrowd") in (1, "1", True)),
                }
            )
        return found


def _box(corner_and_size: Sequence[float]) -> Box:
    left, top, width, height = map(float, corner_and_size)
    return Box(left, top, left + width, top + height)


def _corner_and_size(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
