"""`detect` with the closed-set detectors of transformers: DETR (Carion et al., 2020) and what followed it, such as
RT-DETRv2 (Lv et al., 2024), D-FINE (Peng et al., 2024) and RF-DETR (Robinson et al., 2025).

Such a network knows the classes that it was trained on, COCO's 80 as a rule; its `config.json` names them.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ..color import has_color
from ..imaging.suppression import suppress
from ..words.labels import ClassPhrases, Labels
from ..words.phrase import read_phrase
from ._batching import in_batches, to_rgb
from ._checkpoint import Checkpoint, find
from ._features import FEATURES
from ._loading import load_by_transformers, transformers_image_processor
from ._model_backend import ModelBackend
from ._phrase_detector import Search

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes (N, 4) as left, top, right, bottom in pixels, scores (N,) and classes (N,)."""

OTHER_CLASS = 0.8
"""Intersection over union from which two boxes of different classes are one object, seen under two names."""


class KnownClasses(NamedTuple):
    """The classes of a network that have names.

    Attributes:
        labels: Their names.
        place: Number of the class in the network → place of its name.
    """

    labels: Labels
    place: dict[int, int]


class DetrDetector(ModelBackend):
    """The objects of the classes that the network was trained on; a colour may precede a noun.

    Args:
        labels: Path of a text file with one class per line, if the `config.json` of the model names none.
        threshold: Minimum score of an object.
        nms: Intersection over union from which two boxes of one class are one object.
        batch_size: Number of images that the network sees at once.
    """

    tool = "detect"
    default_model = "ustc-community/dfine-small-coco"
    network_class = "AutoModelForObjectDetection"

    def __init__(
        self,
        model: str | None = None,
        *,
        labels: str | None = None,
        threshold: float = 0.5,
        nms: float = 0.7,
        batch_size: int = 4,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.label_file, self.threshold, self.nms, self.batch_size = labels, threshold, nms, batch_size

    @property
    def sees(self) -> Sees:
        """The classes, as far as they are known before the model is fetched."""
        if self.label_file:
            classes = _named(dict(enumerate(Labels.read(self.label_file).names)))
        elif config := self._config_here():
            classes = _named(_id2label(config))
        elif self.model == self.default_model:
            classes = _named(dict(enumerate(Labels.coco().names)))
        else:
            return Sees(f"the kinds of object that {self.model} was trained on; it refuses all other nouns.")
        if not classes.place:
            return Sees(nothing=self._nameless)
        phrases = ClassPhrases(classes.labels, self._name)
        return Sees(phrases.summary, {"what": phrases})

    @cached_property
    def classes(self) -> KnownClasses:
        """The classes, of a model that may be fetched for it.

        Raises:
            ToolError: There is no such model, or it does not name its classes.
        """
        if self.label_file:
            return _named(dict(enumerate(Labels.read(self.label_file).names)))
        found = _named(_id2label(find(self.model, self.tool).config))
        if not found.place:
            raise ToolError(f"{self.tool}: {self._nameless}")
        return found

    @property
    def _name(self) -> str:
        return self.folder.name if self.folder else self.model

    @property
    def _nameless(self) -> str:
        return (
            f"{self._name} does not name its classes (id2label in config.json): give a file with one class per line "
            f'(labels = "PATH" under [tools.{self.tool}] in visprog.toml)'
        )

    def _prepare(self, image: Image, what: str) -> Search:
        if refusal := ClassPhrases(self.classes.labels, self._name).refusal(what):
            raise Refused(refusal)
        return Search(image, what)

    def _answer(self, asked: list[Search]) -> list[list[Region]]:
        checkpoint = load_by_transformers(
            self._find(),
            self.network_class,
            self.device,
            self.dtype,
            processor=transformers_image_processor,
        )
        images = {search.image.digest: search.image for search in asked}

        def detect(digests: list[str]) -> list[Found]:
            # Images of one size share a batch: filling smaller ones up would shift their features a little.
            order = sorted(digests, key=lambda digest: images[digest].size)
            found: dict[str, Found] = {}
            while order:
                size = images[order[0]].size
                same = [digest for digest in order if images[digest].size == size]
                order = order[len(same) :]
                seen = [images[digest] for digest in same]
                made = in_batches(checkpoint, seen, self.batch_size, lambda part: _detect(checkpoint, part))
                found.update(zip(same, made, strict=True))
            return [found[digest] for digest in digests]

        results = FEATURES.get(checkpoint, "detections", [search.image.digest for search in asked], detect)
        return [self._regions(search, found) for search, found in zip(asked, results, strict=True)]

    def _regions(self, search: Search, found: Found) -> list[Region]:
        """The regions of what is asked for, best first."""
        labels, place = self.classes
        wanted, color = ClassPhrases(labels, self._name).find(read_phrase(search.what))
        image = search.image
        whole = Box(0, 0, image.width, image.height)
        boxes, names, scores = list[Box](), list[int](), list[float]()
        for corners, score, number in zip(*found, strict=True):
            left, top, right, bottom = (float(v) for v in corners)
            box = Box(left, top, max(left, right), max(top, bottom)).clip(whole)
            if score > self.threshold and int(number) in place and box.area > 0:
                boxes.append(box)
                names.append(place[int(number)])
                scores.append(min(float(score), 1.0))
        kept = suppress(boxes, scores, names, same=self.nms, other=OTHER_CLASS)
        regions = [
            Region(image.to_root(boxes[i]), labels.names[names[i]], scores[i], image.root)
            for i in kept
            if names[i] in wanted
        ]
        return [region for region in regions if has_color(region, color)] if color else regions


def _detect(checkpoint: Checkpoint, images: Any) -> list[Found]:
    """What the network finds in images of one size."""
    processor = checkpoint.processor
    inputs = processor(images=[to_rgb(image) for image in images], return_tensors="pt")
    with checkpoint.running():
        output = checkpoint.network(**checkpoint.send_all(inputs))
        output.logits, output.pred_boxes = output.logits.float().cpu(), output.pred_boxes.float().cpu()
        sizes = [(image.height, image.width) for image in images]
        found = processor.post_process_object_detection(output, threshold=MIN_SCORE, target_sizes=sizes)
    return [(each["boxes"].numpy(), each["scores"].numpy(), each["labels"].numpy()) for each in found]


MIN_SCORE = 0.05
"""Score of the least likely objects that are kept in memory."""


def _id2label(config: Any) -> dict[int, str]:
    """The names in a `config.json`, but for those that stand for a missing name."""
    found = config.get("id2label")
    if not isinstance(found, dict):
        return {}
    names = {int(key): str(name) for key, name in found.items() if str(key).isdecimal()}
    return {key: name for key, name in names.items() if not re.fullmatch(r"LABEL_\d+|N/A|", name.strip())}


def _named(names: dict[int, str]) -> KnownClasses:
    numbers = sorted(names)
    return KnownClasses(
        Labels([names[number] for number in numbers]), {number: i for i, number in enumerate(numbers)}
    )
