"""RefCOCO, RefCOCO+ and RefCOCOg: which object does an expression describe? (Yu et al., 2016; Mao et al., 2016)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ...errors import VisprogError
from ...values import Box, Region
from ..answers import box_of
from ..benchmark import Item
from ..metrics import Row
from .frames import Frames
from .published import Published, id_text, need, numbered


class RefCOCO(Published):
    """Reads one of the two common layouts in JSON, and the COCO images `COCO_train2014_….jpg` in any folder.

    - `refs*.json`: the list of `refs(unc).p` (a pickle, which is never read) as JSON, with `instances.json` as
      released: each entry has ref_id, ann_id, image_id, split and sentences with "sent" (or "raw").
    - `finetune_refcoco_SPLIT.json` (for RefCOCO+ finetune_refcoco+_…, for RefCOCOg finetune_refcocog_…) of MDETR:
      images with "caption" and "file_name", annotations with "bbox".

    A split is val (the usual one), testA, testB, test or train. Each sentence is a question. Metric: accuracy, the
    share of boxes answered whose intersection over union with the true box is above 0.5.
    """

    name = "refcoco"

    def entries(self) -> Iterable[tuple[str, Any]]:
        split = self.split or "val"
        name = self.files.find(f"{self.name}/refs*.json", f"finetune_{self.name}_{split}.json", "/refs*.json")
        data = self.files.json(name)
        if not isinstance(data, dict):
            return self._refs(name, data, split)
        boxes = {id_text(a["image_id"]): a["bbox"] for a in need(data, "annotations", name)}
        return (
            (where, (id_text(image["id"]), image["caption"], image, boxes.get(id_text(image["id"])), ""))
            for where, image in numbered(name, need(data, "images", name))
        )

    def items(self, entry: Any) -> Iterable[Item]:
        key, expression, image, box, group = entry
        file, size = image["file_name"], (image.get("width"), image.get("height"))
        left, top, width, height = map(float, box)
        (shown,) = self._frames.shown(file, size, [[left, top, left + width, top + height]])
        yield Item(
            key,
            f"Find {_with_the(expression.strip())}",
            (self.files.image(file),),
            shown,
            Region,
            group,
            {"expression": expression},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        found = box_of(value)
        overlap = found.iou(Box(*item.answer)) if found is not None else 0.0
        return {"correct": float(overlap > 0.5), "iou": overlap}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        count = len(rows) or 1
        return {
            "accuracy": sum(r["scores"]["correct"] for r in rows) / count,
            "mean_iou": sum(r["scores"]["iou"] for r in rows) / count,
        }

    def _refs(self, name: str, refs: Any, split: str) -> Iterator[tuple[str, Any]]:
        boxes, images = self._instances(name.rpartition("/")[0])
        for where, ref in numbered(name, refs):
            try:
                if ref["split"] != split:
                    continue
                image = images.get(id_text(ref["image_id"])) or {"file_name": ref["file_name"]}
                for sentence in ref["sentences"]:
                    text = sentence.get("sent") or sentence["raw"]
                    key = f"{ref['ref_id']}-{sentence['sent_id']}"
                    yield where, (key, text, image, boxes.get(id_text(ref["ann_id"])), str(ref["ref_id"]))
            except (KeyError, TypeError, AttributeError) as error:
                raise VisprogError(
                    f"{where} does not have the published layout of {self.name}: {error!r}"
                ) from None

    def _instances(self, folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Boxes by the id of the annotation, and images by their id."""
        name = self.files.find(f"{folder}/instances.json", "instances*.json")
        data = self.files.json(name)
        boxes = {id_text(a["id"]): a["bbox"] for a in need(data, "annotations", name)}
        return boxes, {id_text(i["id"]): i for i in need(data, "images", name)}

    @cached_property
    def _frames(self) -> Frames:
        return Frames(self.files)


class RefCOCOPlus(RefCOCO):
    """RefCOCO+: as `RefCOCO`, with expressions that name no positions."""

    name = "refcoco+"


class RefCOCOg(RefCOCO):
    """RefCOCOg: as `RefCOCO`, with longer expressions."""

    name = "refcocog"


def _with_the(expression: str) -> str:
    first = expression.partition(" ")[0].casefold()
    return expression if first in ("the", "a", "an") else f"the {expression}"
