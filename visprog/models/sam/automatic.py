"""Masks of all objects of an image: SAM is prompted with a grid of points (Kirillov et al. 2023, appendix B)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn import nms
from ..preprocess.image_processor import ImageArray
from .predictor import MaskPredictor

CROP_EDGE = 20
"""Distance in pixels from an edge of a crop, up to which a mask that ends there is taken for cut off, and dropped."""


class FoundMask(NamedTuple):
    """Mask of an object, or of a part of one.

    Attributes:
        pixels: bool (height, width) within `box`.
        box: left, top, right, bottom in the image, right and bottom past the last pixel.
        predicted_iou: the model's own estimate of how well the mask fits.
        stability_score: intersection over union of the mask at a higher and at a lower threshold.
        point: x and y of the prompt.
        crop_box: crop of the image that the mask was predicted in, as `box`.
    """

    pixels: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop_box: tuple[int, int, int, int]


@dataclass(frozen=True)
class SamAutomaticMaskGenerator:
    """Finds masks of all objects of an image.

    Args:
        predictor: a model with its image processor.
        points_per_side: number of points along each side of the grid.
        points_per_batch: number of points per forward pass.
        pred_iou_thresh: masks whose predicted IoU is not above this are dropped.
        stability_score_thresh: masks whose stability is below this are dropped.
        stability_score_offset: distance of the two thresholds of stability from 0.
        box_nms_thresh: IoU of the boxes of two masks above which only the one rated higher stays.
        crop_n_layers: number of layers of crops: layer i has 2^i by 2^i crops, in which smaller objects are found.
        crop_overlap_ratio: overlap of the crops of the first layer, as a share of the shorter side.
        crop_n_points_downscale_factor: the grid of layer i has `points_per_side` / this^i points per side.
    """

    predictor: MaskPredictor
    _: KW_ONLY
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1

    def generate(self, image: ImageArray) -> list[FoundMask]:
        """Masks of an image, uint8 (height, width, 3); of each crop the one rated highest first."""
        found = []
        crops = list(crop_boxes(image.shape[0], image.shape[1], self.crop_n_layers, self.crop_overlap_ratio))
        for crop, layer in crops:
            left, top, right, bottom = crop
            self.predictor.set_image(image[top:bottom, left:right])
            per_side = self.points_per_side // self.crop_n_points_downscale_factor**layer
            grid = point_grid(per_side) * torch.tensor([right - left, bottom - top])
            masks = [
                _uncrop(mask, crop)
                for points in grid.split(self.points_per_batch)
                for mask in self._masks_at(points)
            ]
            whole = [mask for mask in masks if not _is_cut_off(mask, image)]
            found += _suppress(whole, [mask.predicted_iou for mask in whole], self.box_nms_thresh)
        if len(crops) > 1:  # masks of a smaller crop are finer
            found = _suppress(found, [1 / _area(mask.crop_box) for mask in found], self.box_nms_thresh)
        return found

    def _masks_at(self, points: Tensor) -> Iterator[FoundMask]:
        """The good masks at points (N, 2), in the frame of the crop."""
        prediction = self.predictor.predict(points[:, None])
        logits, iou = prediction.logits.flatten(0, 1), prediction.iou_predictions.flatten()  # (N * M, …)
        points = points.repeat_interleave(prediction.iou_predictions.shape[1], 0)
        good = (iou > self.pred_iou_thresh).nonzero()[:, 0]
        logits, iou = logits[good], iou[good]
        offset = self.stability_score_offset
        stability = (logits > offset).sum((1, 2)) / (logits > -offset).sum((1, 2))
        masks = logits > 0
        keep = (stability >= self.stability_score_thresh) & masks.flatten(1).any(1)
        for i in keep.nonzero()[:, 0].tolist():
            mask = masks[i].cpu().numpy()
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
            x, y = points[good[i].cpu()].tolist()
            pixels = mask[box[1] : box[3], box[0] : box[2]].copy()
            yield FoundMask(pixels, box, float(iou[i]), float(stability[i]), (x, y), box)


def point_grid(points_per_side: int) -> Tensor:
    """Centres (points_per_side², 2) of the cells of a grid over [0, 1] × [0, 1], row by row."""
    centres = (torch.arange(points_per_side, dtype=torch.float64) + 0.5) / points_per_side
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).flatten(0, 1)


def crop_boxes(
    height: int, width: int, layers: int, overlap: float
) -> Iterator[tuple[tuple[int, int, int, int], int]]:
    """Boxes of the whole image, layer 0, and of the crops of the layers from 1, each with its layer."""
    yield (0, 0, width, height), 0
    for layer in range(1, layers + 1):
        count = 2**layer
        shared = int(overlap * min(height, width) * 2 / count)
        across, down = (math.ceil((shared * (count - 1) + length) / count) for length in (width, height))
        for column, row in product(range(count), range(count)):
            left, top = column * (across - shared), row * (down - shared)
            yield (left, top, min(left + across, width), min(top + down, height)), layer


def _suppress(masks: list[FoundMask], scores: list[float], overlap: float) -> list[FoundMask]:
    """Masks without those whose box overlaps that of a mask with a higher score; sizes of boxes are counted between
    pixel centres."""
    if not masks:
        return []
    boxes = torch.tensor([mask.box for mask in masks]) - torch.tensor([0, 0, 1, 1])
    return [masks[i] for i in nms(boxes.float(), torch.tensor(scores), overlap).tolist()]


def _is_cut_off(mask: FoundMask, image: ImageArray) -> bool:
    """Whether a mask ends at an edge of its crop that is no edge of the image."""
    left, top, right, bottom = mask.box
    edges = left, top, right - 1, bottom - 1
    far = 0, 0, image.shape[1], image.shape[0]
    return any(
        abs(at - c) <= CROP_EDGE < abs(at - f) for at, c, f in zip(edges, mask.crop_box, far, strict=True)
    )


def _uncrop(mask: FoundMask, crop: tuple[int, int, int, int]) -> FoundMask:
    """The mask in the frame of the image."""
    left, top = crop[:2]
    box = mask.box[0] + left, mask.box[1] + top, mask.box[2] + left, mask.box[3] + top
    return mask._replace(box=box, point=(mask.point[0] + left, mask.point[1] + top), crop_box=crop)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
