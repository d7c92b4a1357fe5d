"""Masks of everything in a picture: SAM is asked about a grid of points (Kirillov et al. 2023, appendix B)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn import nms
from ..preprocess.image_processor import Picture
from .predictor import SamPredictor

EDGE = 20
"""A mask whose box ends so many pixels or less from the edge of a crop is taken for cut off, and dropped."""


class FoundMask(NamedTuple):
    """A thing, or a part of one.

    Attributes:
        pixels: bool (height, width) within `box`.
        box: left, top, right, bottom in the picture, right and bottom past the last pixel.
        iou: how well the mask fits, as the model sees it.
        stability: intersection over union of the mask at a higher and at a lower threshold.
        point: x and y of the prompt.
        crop: the part of the picture that was looked at, as `box`.
    """

    pixels: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    iou: float
    stability: float
    point: tuple[float, float]
    crop: tuple[int, int, int, int]


def automatic_masks(
    predictor: SamPredictor,
    picture: Picture,
    *,
    side: int = 32,
    batch: int = 64,
    least_iou: float = 0.88,
    least_stability: float = 0.95,
    offset: float = 1.0,
    overlap: float = 0.7,
    crop_layers: int = 0,
    crop_overlap: float = 512 / 1500,
    crop_thinning: int = 1,
) -> list[FoundMask]:
    """Masks of all that a grid of points finds; of each crop the surest first.

    Args:
        picture: uint8 (height, width, 3).
        side: points along each side of the grid.
        batch: points asked about at once.
        least_iou: masks whose predicted IoU is not above this are dropped.
        least_stability: those whose stability is below this, too.
        offset: of the two thresholds of stability from 0.
        overlap: of two masks whose boxes have a greater IoU, the one rated higher stays.
        crop_layers: how often to look closer: layer i looks at 2^i by 2^i crops, which find smaller things.
        crop_overlap: how far the crops of the first layer overlap, as a share of the shorter side.
        crop_thinning: the grid of layer i has `side` / crop_thinning^i points along a side.
    """
    found = []
    crops = list(crop_boxes(picture.shape[0], picture.shape[1], crop_layers, crop_overlap))
    for crop, layer in crops:
        left, top, right, bottom = crop
        predictor.set_image(picture[top:bottom, left:right])
        grid = point_grid(side // crop_thinning**layer) * torch.tensor([right - left, bottom - top])
        masks = [
            _uncrop(mask, crop)
            for points in grid.split(batch)
            for mask in _masks_at(predictor, points, least_iou, least_stability, offset)
        ]
        whole = [mask for mask in masks if not _cut_off(mask, picture)]
        found += _surest(whole, [mask.iou for mask in whole], overlap)
    if len(crops) > 1:  # what a smaller crop shows is drawn more finely
        found = _surest(found, [1 / _area(mask.crop) for mask in found], overlap)
    return found


def point_grid(side: int) -> Tensor:
    """Centres (side², 2) of the cells of a grid over [0, 1] × [0, 1], row by row."""
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).flatten(0, 1)


def crop_boxes(
    height: int, width: int, layers: int, overlap: float
) -> Iterator[tuple[tuple[int, int, int, int], int]]:
    """The whole picture, layer 0, and the crops of the layers from 1."""
    yield (0, 0, width, height), 0
    for layer in range(1, layers + 1):
        count = 2**layer
        shared = int(overlap * min(height, width) * 2 / count)
        across, down = (math.ceil((shared * (count - 1) + length) / count) for length in (width, height))
        for column, row in product(range(count), range(count)):
            left, top = column * (across - shared), row * (down - shared)
            yield (left, top, min(left + across, width), min(top + down, height)), layer


def _masks_at(
    predictor: SamPredictor, points: Tensor, least_iou: float, least_stability: float, offset: float
) -> Iterator[FoundMask]:
    """The good masks at points (N, 2), in the frame of the crop."""
    answer = predictor.predict(points[:, None])
    logits, iou = answer.logits.flatten(0, 1), answer.iou.flatten()
    points = points.repeat_interleave(answer.iou.shape[1], 0)
    good = (iou > least_iou).nonzero()[:, 0]
    logits, iou = logits[good], iou[good]
    stability = (logits > offset).sum((1, 2)) / (logits > -offset).sum((1, 2))
    masks = logits > 0
    keep = (stability >= least_stability) & masks.flatten(1).any(1)
    for i in keep.nonzero()[:, 0].tolist():
        mask = masks[i].cpu().numpy()
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        x, y = points[good[i].cpu()].tolist()
        pixels = mask[box[1] : box[3], box[0] : box[2]].copy()
        yield FoundMask(pixels, box, float(iou[i]), float(stability[i]), (x, y), box)


def _surest(masks: list[FoundMask], scores: list[float], overlap: float) -> list[FoundMask]:
    """Without those that one with a higher score covers; sizes of boxes are counted between pixel centres."""
    if not masks:
        return []
    boxes = torch.tensor([mask.box for mask in masks]) - torch.tensor([0, 0, 1, 1])
    return [masks[i] for i in nms(boxes.float(), torch.tensor(scores), overlap).tolist()]


def _cut_off(mask: FoundMask, picture: Picture) -> bool:
    """Whether a mask ends at an edge of its crop that is no edge of the picture."""
    left, top, right, bottom = mask.box
    edges = left, top, right - 1, bottom - 1
    far = 0, 0, picture.shape[1], picture.shape[0]
    return any(abs(at - c) <= EDGE < abs(at - f) for at, c, f in zip(edges, mask.crop, far, strict=True))


def _uncrop(mask: FoundMask, crop: tuple[int, int, int, int]) -> FoundMask:
    """In the frame of the picture."""
    left, top = crop[:2]
    box = mask.box[0] + left, mask.box[1] + top, mask.box[2] + left, mask.box[3] + top
    return mask._replace(box=box, point=(mask.point[0] + left, mask.point[1] + top), crop=crop)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
