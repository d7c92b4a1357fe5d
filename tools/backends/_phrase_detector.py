"""The base of detectors that find what a noun phrase names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.registry.sees import Sees
from visprog.values import Box, Mask, Region
from visprog.values.image import Image

from ..imaging.suppression import suppress
from ..words.phrase import read_phrase
from ._model_backend import ModelBackend

MAX_BOXES = 300
"""Number of boxes of one image that are looked at, those with the highest scores."""


class Search(NamedTuple):
    """One call: where to look, and for what, in the singular."""

    image: Image
    what: str


class PhraseDetector(ModelBackend):
    """What the detectors share.

    Args:
        threshold: Minimum score of an object, 0 to 1; by default that of `backend.json`, else 0.2 for OWL, 0.28
            for one that was trained here, 0.35 for Grounding DINO, 0.5 for SAM 3, and 0 for
            Florence-2.
        nms: Intersection over union from which two boxes are one object.
        batch_size: Number of images that the network sees at once; by default that of `backend.json`, else 4.
    """

    tool = "detect"
    default_threshold: float = 0.2

    def __init__(
        self,
        model: str | None = None,
        *,
        threshold: float | None = None,
        nms: float = 0.5,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.threshold = self.settings.option("threshold", threshold, self.default_threshold)
        self.batch_size = self.settings.option("batch_size", batch_size, 4)
        self.nms = nms

    @property
    def sees(self) -> Sees:
        """What can be asked for."""
        return Sees('any noun phrase, with what tells the object from others: "man with a red hat".')

    def _prepare(self, image: Image, what: str) -> Search:
        return Search(image, read_phrase(what).whole)

    def _regions(
        self,
        search: Search,
        corners: NDArray[Any],
        scores: NDArray[np.float32],
        mask: Callable[[int], Mask | None] = lambda number: None,
    ) -> list[Region]:
        """Boxes (N, 4) as left, top, right, bottom in the image's own pixels → those that stay, best first.

        Args:
            mask: Gives the mask of a box by its number.
        """
        boxes, kept_scores, numbers = list[Box](), list[float](), list[int]()
        whole = Box(0, 0, search.image.width, search.image.height)
        for i in np.argsort(-scores, kind="stable")[:MAX_BOXES]:
            left, top, right, bottom = (float(v) for v in corners[i])
            box = Box(left, top, max(left, right), max(top, bottom)).clip(whole)
            if scores[i] > self.threshold and box.area > 0:
                boxes.append(search.image.to_root(box))
                kept_scores.append(min(float(scores[i]), 1.0))
                numbers.append(int(i))
        kept = suppress(boxes, kept_scores, [search.what] * len(boxes), same=self.nms)
        root = search.image.root
        return [Region(boxes[i], search.what, kept_scores[i], root, mask(numbers[i])) for i in kept]


def corners_of(boxes: NDArray[Any], width: float, height: float) -> NDArray[Any]:
    """(N, 4) relative centre x, centre y, width, height → (N, 4) left, top, right, bottom in pixels."""
    centers, sizes = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], 1) * [width, height, width, height]
