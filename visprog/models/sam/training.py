"""The training of SAM (Kirillov et al. 2023, appendix A): a prompt is drawn from the true mask, the model predicts
masks, and points in the wrong pixels are drawn as further prompts, as a person would click them.

All functions work on N masks of each image at once: they share one image embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn import dice_loss, focal_loss, mask_iou
from .model import Sam


class SamLoss(NamedTuple):
    """The loss of one prediction; means over all masks, but for the last two.

    Attributes:
        loss: 20 focal + dice + iou_error.
        focal, dice: losses of the best mask.
        iou_error: squared error of its predicted IoU.
        best: index of the mask that fits each target best, (batch, N).
        iou: intersection over union of that mask and the target, (batch, N).
    """

    loss: Tensor
    focal: Tensor
    dice: Tensor
    iou_error: Tensor
    best: Tensor
    iou: Tensor


def mask_loss(
    masks: Tensor, iou: Tensor, targets: Tensor, *, wta_eps: float = 0.0, every_iou: bool = False
) -> SamLoss:
    """Loss of a prediction of several masks per prompt: only the mask that fits best is trained.

    Args:
        masks: logits (batch, N, M, h, w); enlarged to the size of the targets.
        iou: their predicted IoUs (batch, N, M).
        targets: bool (batch, N, H, W).
        wta_eps: share of the loss that is the mean over all M masks: with 0, as published, a mask that never wins
            never learns, which small models trained from scratch do not recover from (relaxed winner-take-all,
            Rupprecht et al. 2017).
        every_iou: train the predicted IoUs of all masks (as SAM 2), not only of the best one.
    """
    masks = F.interpolate(masks.flatten(0, 1), targets.shape[-2:], mode="bilinear").view(
        *masks.shape[:3], *targets.shape[-2:]
    )
    wanted = targets[:, :, None].to(masks.dtype)
    focal, dice = focal_loss(masks, wanted), dice_loss(masks, wanted)
    losses = 20 * focal + dice
    best = losses.argmin(-1, keepdim=True)
    true = mask_iou(masks.detach() > 0, targets[:, :, None])
    errors = (iou - true).square()
    fit = (1 - wta_eps) * losses.gather(-1, best).mean() + wta_eps * losses.mean()
    error = errors.mean() if every_iou else errors.gather(-1, best).mean()
    shown = [values.gather(-1, best).mean().detach() for values in (focal, dice, errors)]
    return SamLoss(fit + error, shown[0], shown[1], shown[2], best[..., 0], true.gather(-1, best)[..., 0])


def random_points(regions: Tensor) -> Tensor:
    """A pixel of each region, all equally likely: bool (…, H, W) → x and y (…, 2), whole numbers.

    Of an empty region, the last pixel.
    """
    counts = regions.flatten(-2).cumsum(-1)
    total = counts[..., -1:]
    rank = (torch.rand(total.shape, device=regions.device) * total).floor().clamp(max=total - 1) + 1
    index = torch.searchsorted(counts, rank.clamp(min=1).to(counts.dtype)).clamp(max=counts.shape[-1] - 1)
    return torch.cat([index % regions.shape[-1], index // regions.shape[-1]], -1).float()


def mask_boxes(masks: Tensor) -> Tensor:
    """Tight boxes: bool (…, H, W) → left, top, right, bottom (…, 4), right and bottom past the last pixel; zeros for
    an empty mask."""
    edges = []
    for line in (masks.any(-2), masks.any(-1)):
        size, hits = line.shape[-1], line.to(torch.uint8)
        first, last = hits.argmax(-1), size - hits.flip(-1).argmax(-1)
        edges.append((first, torch.where(line.any(-1), last, 0)))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], -1).float()


def noisy_boxes(boxes: Tensor, share: float = 0.1, limit: float = 20.0) -> Tensor:
    """Boxes (…, 4) as a person would draw them: every edge moved by normal noise of `share` of the side, at most
    `limit` pixels."""
    sides = boxes[..., 2:] - boxes[..., :2]
    noise = share * torch.cat([sides, sides], -1) * torch.randn_like(boxes)
    return boxes + noise.clamp(-limit, limit)


def correction_points(masks: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """A click that corrects each mask: a point among its wrong pixels, with label 1 if it lies on the object, else 0.
    If no pixel is wrong, a point beside the object.

    Args:
        masks, targets: bool (batch, N, H, W).

    Returns:
        Points (batch, N, 1, 2) and labels (batch, N, 1).
    """
    wrong = masks ^ targets
    points = random_points(torch.where(wrong.flatten(-2).any(-1)[..., None, None], wrong, ~targets))
    x, y = points.long().unbind(-1)
    labels = targets.flatten(-2).gather(-1, (y * targets.shape[-1] + x)[..., None])
    return points[..., None, :], labels.long()


def interactive_rounds(clicks: int) -> list[bool]:
    """Whether each round after the first has a new click: `clicks` rounds have one; one more round without is at a
    random place among them, and one at the end."""
    rounds = [True] * clicks
    if clicks:
        rounds.insert(int(torch.randint(clicks + 1, ())), False)
    return [*rounds, False]


def interactive_losses(
    model: Sam,
    images: Tensor,
    targets: Tensor,
    rounds: list[bool],
    *,
    box_limit: float = 20.0,
    wta_eps: float = 0.0,
    every_iou: bool = False,
) -> list[SamLoss]:
    """The losses of a training step, one per prediction.

    First each mask is prompted for by a point in it or by its box, with equal probability; several masks are predicted.
    Then each round feeds back the logits of the mask that the model itself rated best, with or without a click on its
    wrong pixels; one mask is predicted. Logits are fed back without gradient.

    Args:
        images: (batch, channels, H, W).
        targets: bool (batch, N, H, W).
        rounds: from `interactive_rounds`; empty for the first prompt alone.
        box_limit: `limit` of `noisy_boxes`.
        wta_eps, every_iou: as in `mask_loss`.
    """
    image_embeddings, _ = model.image_encoder(images)
    size = torch.tensor(images.shape[:1:-1], device=images.device)
    encoder = model.prompt_encoder
    image_pe = encoder.image_pe(*image_embeddings.shape[2:])
    boxes = encoder.embed_boxes(noisy_boxes(mask_boxes(targets), limit=box_limit), size)
    ones = torch.ones(*targets.shape[:2], 1, device=images.device)
    points = encoder.embed_points(random_points(targets)[..., None, :], ones, size)
    points = torch.cat([points, encoder.not_a_point_embed.expand_as(points)], 2)
    sparse = torch.where(torch.rand_like(ones)[..., None] < 0.5, boxes, points)
    dense = encoder.embed_no_mask(image_embeddings)
    losses: list[SamLoss] = []
    fed: Tensor | None = None
    for click in [False, *rounds]:
        if fed is not None:
            dense = encoder.embed_masks(fed)
            if click:
                answer = F.interpolate(fed, targets.shape[-2:], mode="bilinear") > 0
                points = encoder.embed_points(*correction_points(answer, targets), size)
                sparse = torch.cat([sparse, points], 2)
        masks, iou, _ = model.mask_decoder(
            image_embeddings, image_pe, sparse, dense, multimask_output=fed is None
        )
        losses.append(mask_loss(masks, iou, targets, wta_eps=wta_eps, every_iou=every_iou))
        fed = best_masks(masks, iou).detach()
    return losses


def best_masks(masks: Tensor, iou: Tensor) -> Tensor:
    """Of the M masks of each prompt (batch, N, M, h, w) the one with the highest predicted IoU, (batch, N, h, w)."""
    best = iou.argmax(-1)[..., None, None, None].expand(-1, -1, 1, *masks.shape[-2:])
    return masks.gather(2, best)[:, :, 0]
