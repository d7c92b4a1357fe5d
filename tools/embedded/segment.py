"""`segment` with the bundled SAM: the thing in a box, the thing at a point, or every thing there is."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.errors import ToolError
from visprog.values import Box, Mask, Region
from visprog.values.image import Image

from ..hub.together import Memory, answer_together
from . import need_torch

if TYPE_CHECKING:
    from ..models.sam_predictor import Encoded, SamPredictor

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "sam"


class Ask(NamedTuple):
    """One call: the box, or the point where it has no extent, is in the image's own pixels."""

    image: Image
    region: Region
    box: Box


class EmbeddedSegmenter:
    """A small SAM (Kirillov et al. 2023). Each picture is encoded once, its regions are then cheap.

    A region with a box of no extent is a point: its thing's box is found with its mask.

    Args:
        model: folder of a model trained with `visprog train sam`; the bundled one where not given.
        remembered: how many encoded pictures are kept.
    """

    def __init__(self, model: str | None = None, *, remembered: int = 4) -> None:
        need_torch()
        self.folder = Path(model).expanduser() if model else WEIGHTS
        self._encoded: Memory[str, Encoded] = Memory(remembered)
        self._lock = threading.RLock()
        self._predictor: SamPredictor | None = None

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def segment(self, image: Image, region: Region) -> Region:
        """The region with its mask, in the frame of the root.

        Raises:
            ToolError: the region lies outside the image, or the model sees no thing in it.
        """
        (result,) = self([{"image": image, "region": region}])
        if isinstance(result, Exception):
            raise result
        found: Region = result
        return found

    def everything(
        self, image: Image, *, side: int = 16, least_iou: float = 0.8, least_stability: float = 0.9
    ) -> list[Region]:
        """All things and parts of things that points on a grid of `side` × `side` find, surest first; see
        `automatic_masks`. Their score is the model's own idea of how well the mask fits."""
        from ..models.sam_automatic import automatic_masks

        with self._lock:
            found = automatic_masks(
                self._load(), image.pixels, side=side, least_iou=least_iou, least_stability=least_stability
            )
        origin = image.origin
        masks = [Mask.tight(f.pixels, int(origin.x) + f.box[0], int(origin.y) + f.box[1]) for f in found]
        return [
            Region(mask.box, "", min(1.0, max(0.0, f.iou)), image.root, mask)
            for mask, f in zip(masks, found, strict=True)
        ]

    def _prepare(self, image: Image, region: Region) -> Ask:
        frame, box = image.box, region.box
        if not (
            box.left < frame.right
            and box.right > frame.left
            and box.top < frame.bottom
            and box.bottom > frame.top
        ):
            raise ToolError(f"nothing to segment: {box} lies outside the picture, {frame}")
        return Ask(image, region, image.to_local(box.clip(frame)))

    def _answer(self, asked: list[Ask]) -> list[Any]:
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, ask in enumerate(asked):
            groups.setdefault((ask.image.digest, _is_point(ask.box)), []).append(i)
        results: list[Any] = [None] * len(asked)
        with self._lock:
            for (_, points), members in groups.items():
                masks = self._masks(asked[members[0]].image, [asked[i].box for i in members], points)
                for i, mask in zip(members, masks, strict=True):
                    results[i] = _finish(asked[i], mask)
        return results

    def _masks(self, image: Image, boxes: list[Box], points: bool) -> Any:
        """Of the masks for each box, the one that the model rates best: bool (N, H, W) of the image's size."""
        import torch

        predictor = self._load()
        (predictor.image,) = self._encoded.get([image.digest], lambda _: [predictor.set_image(image.pixels)])
        corners = torch.tensor([[b.left, b.top, b.right, b.bottom] for b in boxes])
        answer = (
            predictor.predict(points=corners[:, None, :2]) if points else predictor.predict(boxes=corners)
        )
        best = answer.iou.argmax(-1)
        return (answer.logits[torch.arange(len(boxes)), best] > 0).numpy()

    def _load(self) -> SamPredictor:
        if self._predictor is None:
            from ..models.sam import Sam
            from ..models.sam_predictor import SamPredictor

            try:
                self._predictor = SamPredictor(Sam.load(self.folder))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ToolError(f"segment: there is no SAM model in {self.folder}: {error}") from error
        return self._predictor


def _is_point(box: Box) -> bool:
    return box.width == 0 and box.height == 0


def _finish(ask: Ask, pixels: Any) -> Region | ToolError:
    if not pixels.any():
        return ToolError(f"SAM sees no thing in {ask.region.box}: nothing to segment")
    origin = ask.image.origin
    mask = Mask.tight(pixels, int(origin.x), int(origin.y))
    box = mask.box if _is_point(ask.region.box) else ask.region.box
    return replace(ask.region, box=box, mask=mask, image=ask.image.root)
