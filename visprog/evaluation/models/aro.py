"""ARO in its published layout: VG-Relation, VG-Attribution, COCO-Order and Flickr-Order (Yuksekgonul et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import ImageError, VisprogError
from ...values import Box
from ...values.image import Image
from ..loaders.files import BenchmarkFiles, StoredImage
from .scorers import ImageArray
from .word_order import prepared, shuffled

FILES: Mapping[str, tuple[str, ...]] = {
    "relation": ("visual_genome_relation.json",),
    "attribute": ("visual_genome_attribution.json",),
    "order": (
        "coco_karpathy_test.json",
        "flickr30k_test.json",
        "dataset_coco.json",
        "dataset_flickr30k.json",
    ),
}
"""Test → its files, of which the first that is there is read."""


class ImageView(Protocol):
    """What an image shows, read or drawn when it is asked for."""

    @property
    def name(self) -> str:
        """Identifies what is shown."""

    def pixels(self) -> ImageArray:
        """The pixels."""


@dataclass(frozen=True)
class StoredView:
    """An image among files, or a part of it, read when it is asked for.

    Attributes:
        stored: The image.
        box: Part of it that is shown; None for all.
    """

    stored: StoredImage
    box: Box | None = None

    @property
    def name(self) -> str:
        """Identifies what is shown."""
        return self.stored.name if self.box is None else f"{self.stored.name} {self.box}"

    def pixels(self) -> ImageArray:
        """The pixels. Raises `VisprogError` if they cannot be read."""
        try:
            image = Image.open(self.stored, name=self.stored.name)
            return (image if self.box is None else image.crop(self.box)).pixels
        except ImageError as error:
            raise VisprogError(str(error)) from None


@dataclass(frozen=True)
class Choice:
    """An image and captions of which the first is right.

    Attributes:
        group: Name of what is tested, such as a relation; "" for none.
    """

    view: ImageView
    captions: tuple[str, ...]
    group: str = ""


def read_aro(data: Path, limit: int | None) -> dict[str, list[Choice]]:
    """The tests that a folder, an archive or a single JSON file holds.

    Args:
        data: Folder or archive with ARO's files and images, or a JSON file of entries as in VG-Relation, whose images
            lie in its folder.
        limit: Number of entries per test, from the first on; None for all.

    Raises:
        VisprogError: There are none, or an entry has another form.
    """
    if data.is_file() and data.suffix.lower() == ".json":
        files, names = BenchmarkFiles(data.parent), {data.stem: data.name}
    else:
        files, names = BenchmarkFiles(data), {}
        for test, candidates in FILES.items():
            try:
                names[test] = files.find(*candidates)
            except VisprogError:
                continue
    found = {test: _entries(files, test, name, limit) for test, name in names.items()}
    if not found:
        listed = ", ".join(name for candidates in FILES.values() for name in candidates)
        raise VisprogError(f"{data} holds no test of ARO: it needs one of {listed}")
    return found


def _entries(files: BenchmarkFiles, test: str, name: str, limit: int | None) -> list[Choice]:
    raw = files.json(name)
    if isinstance(raw, dict):
        raw = [image for image in raw.get("images", ()) if image.get("split") == "test"]
    if not isinstance(raw, list) or not raw:
        raise VisprogError(f"{name} holds no list of entries")
    found: list[Choice] = []
    for number, entry in enumerate(raw):
        if limit is not None and len(found) >= limit:
            break
        try:
            found += _two_captions(files, entry) if "true_caption" in entry else _orders(files, entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VisprogError(f"{name}, entry {number}, is not as in ARO: {error!r}") from None
    return found[:limit]


def _two_captions(files: BenchmarkFiles, entry: Mapping[str, Any]) -> list[Choice]:
    """An entry of VG-Relation or VG-Attribution: the part of an image around both objects, and two captions."""
    box = None
    if "bbox_x" in entry:
        left, top, width, height = (float(entry[f"bbox_{key}"]) for key in "xywh")
        box = Box(left, top, left + width, top + height)
    group = entry.get("relation_name") or "_".join(entry.get("attributes", ()))
    return [
        Choice(
            StoredView(files.image(entry["image_path"]), box),
            (str(entry["true_caption"]), str(entry["false_caption"])),
            group,
        )
    ]


def _orders(files: BenchmarkFiles, entry: Mapping[str, Any]) -> list[Choice]:
    """An entry of the order tests, an image with its captions: each caption is a question."""
    if "caption" in entry:
        image, captions = entry["image"], entry["caption"]
        captions = [captions] if isinstance(captions, str) else captions
    else:  # Karpathy's own file
        image = "/".join(filter(None, (entry.get("filepath", ""), entry["filename"])))
        captions = [sentence["raw"] for sentence in entry["sentences"]]
    return [c for text in captions if (c := order_choice(StoredView(files.image(image)), text)) is not None]


def order_choice(view: ImageView, caption: str) -> Choice | None:
    """A caption and four orders of its words; None if it is too short to have them all."""
    text = prepared(caption)
    others = shuffled(text, np.random.default_rng(list(text.encode())))
    return Choice(view, (text, *others)) if others else None
