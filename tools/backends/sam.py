"""`segment` and `segment_everything` with SAM (Kirillov et al., 2023): bundled, trained by `visprog train sam`, or
public, in the layout of the hub or in a file of its authors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box, Mask, Point, Region
from visprog.values.image import Image

from ._batching import chunks, in_batches
from ._checkpoint import Checkpoint
from ._gate import to_view
from ._loading import load, load_file
from ._model_backend import ModelBackend

if TYPE_CHECKING:
    from ._sam_predictor import ImagePredictor

FILES = (".pth", ".safetensors")
"""Endings of the files that the authors of SAM publish, and of the same tensors as safetensors."""

MIN_WINDOW = 16.0
"""Side of the smallest window, in pixels."""

MAX_LOGITS = 1 << 28
"""Number of logits of masks that are made at once, at the size of the image."""


class SamBackend(ModelBackend):
    """What both tools share. The model may also be a file of SAM's authors, such as "sam_vit_b_01ec64.pth"."""

    default_model = "facebook/sam-vit-base"
    model_types: ClassVar[tuple[str, ...]] = ("sam",)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded when it is first used; the tools share it.

        Raises:
            ToolError: There is no such model.
        """
        if Path(self.model).suffix in FILES:
            return load_file(self.model, self.tool, _read_file, self.device, self.dtype)
        return load(self._find(), self.device, self.dtype)

    @property
    def predictor(self) -> ImagePredictor:
        """A new predictor on the model, without an image."""
        from ._sam_predictor import KeepingPredictor

        return KeepingPredictor(self.checkpoint)


class BoxPrompt(NamedTuple):
    """One call: the box, which has no extent for a point, is in the image's own pixels."""

    image: Image
    place: Region | Point
    box: Box


class SamSegmenter(SamBackend):
    """The mask of the object in a box or at a point: of the three that SAM proposes, the one that it rates best. Each
    image is encoded once; its boxes and points are then cheap.

    Args:
        window: Side of the square around a box that is looked at, as a multiple of its longer side; 0 for the whole
            image; by default that of `backend.json`, else 0. The mask is finer in a window.
        batch_size: Number of boxes or points of one image that the decoder sees at once.
    """

    tool = "segment"

    def __init__(
        self,
        model: str | None = None,
        *,
        window: float | None = None,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.window = self.settings.option("window", window, 0.0)
        self.batch_size = batch_size

    def _prepare(self, image: Image, region: Region | Point) -> BoxPrompt:
        prompt, view = _prompt(image, region), to_view(image, self.folder, self.tool)
        return _prompt(view, region) if image.to_root(prompt.box).inside(view.box, 0) else prompt

    def _answer(self, asked: list[BoxPrompt]) -> list[Any]:
        predictor = self.predictor
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, prompt in enumerate(asked):
            groups.setdefault((prompt.image.digest, is_point(prompt.box)), []).append(i)
        results: list[Any] = [None] * len(asked)
        with self.checkpoint.running():
            for (_, points), members in groups.items():
                image, boxes = asked[members[0]].image, [asked[i].box for i in members]
                if self.window and not points:
                    masks: Iterable[NDArray[np.bool_]] = (self._in_window(predictor, image, b) for b in boxes)
                else:
                    masks = self._masks(predictor, image, boxes)
                for i, mask in zip(members, masks, strict=True):
                    results[i] = _result(asked[i], mask)
        return results

    def _in_window(self, predictor: ImagePredictor, image: Image, box: Box) -> NDArray[np.bool_]:
        """The mask of a box, seen in its window: (height, width) of the image."""
        part = image.crop(image.to_root(window_around(box, image.width, image.height, self.window)))
        shift = image.to_local(part.box)
        (seen,) = self._masks(predictor, part, [box.shift(-shift.left, -shift.top)])
        mask = np.zeros((image.height, image.width), bool)
        top, left = int(shift.top), int(shift.left)
        mask[top : top + part.height, left : left + part.width] = seen
        return mask

    def _masks(
        self, predictor: ImagePredictor, image: Image, boxes: list[Box]
    ) -> Iterable[NDArray[np.bool_]]:
        """For each box, or for each point if none of them has any extent, the mask that SAM rates best: (height,
        width) of the image."""
        import torch

        predictor.show(image)
        most = MAX_LOGITS // (3 * image.width * image.height)

        def predict(part: Sequence[Box]) -> list[NDArray[np.bool_]]:
            with self.checkpoint.running():
                corners = torch.tensor([[b.left, b.top, b.right, b.bottom] for b in part])
                if all(map(is_point, part)):
                    answer = predictor.predict(points=corners[:, None, :2])
                else:
                    answer = predictor.predict(boxes=corners)
                best = answer.iou_predictions.argmax(-1)
                masks = answer.logits[torch.arange(len(part), device=best.device), best] > 0
                return list(masks.cpu().numpy())

        for part in chunks(boxes, max(1, min(self.batch_size, most))):
            yield from in_batches(self.checkpoint, part, len(part), predict)


class SegmentAnythingSegmenter(SamSegmenter):
    """SAM from a checkpoint file of its authors.

    Args:
        model: Path of the file, *.pth or *.safetensors; the size of the network is read from its tensors.
    """

    default_model = ""

    def _prepare(self, image: Image, region: Region | Point) -> BoxPrompt:
        if Path(self.model).suffix not in FILES:
            raise ToolError(
                'segment: set model = "FILE", a SAM checkpoint such as sam_vit_b_01ec64.pth, under '
                "[tools.segment] in visprog.toml"
            )
        return super()._prepare(image, region)


class SamEverything(SamBackend):
    """All objects and parts of objects in an image, found from points on a grid (appendix B). The score of a region is
    the model's own estimate of how well its mask fits.

    Options that are not given are those of `backend.json`, else the published ones.

    Args:
        points_per_side: Number of points along each side of the grid.
        pred_iou_thresh: Minimum of the predicted intersection over union of a mask.
        stability_score_thresh: Minimum stability of a mask when its threshold changes.
    """

    tool = "segment_everything"
    default_iou = 0.88

    def __init__(
        self,
        model: str | None = None,
        *,
        points_per_side: int | None = None,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        option = self.settings.option
        self.points_per_side = option("points_per_side", points_per_side, 32)
        self.pred_iou_thresh = option("pred_iou_thresh", pred_iou_thresh, self.default_iou)
        self.stability_score_thresh = option("stability_score_thresh", stability_score_thresh, 0.95)

    def _prepare(self, image: Image) -> Image:
        return to_view(image, self.folder, self.tool)

    def _answer(self, images: list[Image]) -> list[list[Region]]:
        return [self.everything(image) for image in images]

    def everything(self, image: Image) -> list[Region]:
        """All regions of an image, those with the best masks first.

        Raises:
            ToolError: There is no such model.
        """
        from visprog.models.sam.automatic import SamAutomaticMaskGenerator

        checkpoint = self.checkpoint
        with checkpoint.running():
            generator = SamAutomaticMaskGenerator(
                self.predictor,
                points_per_side=self.points_per_side,
                pred_iou_thresh=self.pred_iou_thresh,
                stability_score_thresh=self.stability_score_thresh,
            )
            found = generator.generate(image.pixels)
        origin = image.origin
        masks = [Mask.tight(f.pixels, int(origin.x) + f.box[0], int(origin.y) + f.box[1]) for f in found]
        return [
            Region(mask.box, "", min(1.0, max(0.0, f.predicted_iou)), image.root, mask)
            for mask, f in zip(masks, found, strict=True)
        ]


class EmbeddedSegmenter(SamSegmenter):
    """The bundled SAM, which segments the simple shapes of drawn scenes."""

    default_model = "sam"


class EmbeddedEverything(SamEverything):
    """The bundled SAM, which segments the simple shapes of drawn scenes."""

    default_model = "sam"


def is_point(box: Box) -> bool:
    """Whether a box has no extent."""
    return box.width == 0 and box.height == 0


def window_around(box: Box, width: int, height: int, factor: float) -> Box:
    """The window in which a box is looked at: a square of `factor` times its longer side, moved into an image of that
    width and height, and cut if the image is smaller."""
    side = max(factor * max(box.width, box.height), MIN_WINDOW)
    across, down = min(side, width), min(side, height)
    left = min(max(box.center.x - across / 2, 0.0), width - across)
    top = min(max(box.center.y - down / 2, 0.0), height - down)
    return Box(left, top, left + across, top + down)


def _prompt(image: Image, region: Region | Point) -> BoxPrompt:
    frame = image.box
    if isinstance(region, Point):
        inside = frame.left <= region.x < frame.right and frame.top <= region.y < frame.bottom
        box = region.box if inside else None
    else:
        box = region.box.intersection(frame)
    if box is None:
        raise ToolError(f"nothing to segment: {_place(region)} lies outside the image, {frame}")
    return BoxPrompt(image, region, image.to_local(box))


def _place(region: Region | Point) -> str:
    return str(region if isinstance(region, Point) else region.box)


def _result(prompt: BoxPrompt, pixels: NDArray[np.bool_]) -> Region | ToolError:
    if not pixels.any():
        return ToolError(f"SAM sees no object in {_place(prompt.place)}: nothing to segment")
    origin = prompt.image.origin
    mask = Mask.tight(pixels, int(origin.x), int(origin.y))
    if isinstance(prompt.place, Point):
        return Region(mask.box, "", 1.0, prompt.image.root, mask)
    return replace(prompt.place, mask=mask, image=prompt.image.root)


def _read_file(file: Path, dtype: str) -> Any:
    from visprog.models.sam.model import Sam

    return Sam.from_segment_anything(file, dtype=dtype)
