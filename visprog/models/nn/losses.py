"""Losses over pairs of images and texts, of features whose rows have length 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def info_nce(images: Tensor, texts: Tensor, scale: Tensor, positives: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy of choosing the right text for an image, and the right image for a text (CLIP,
    Radford et al. 2021).

    Texts beyond the number of images belong to none: they are hard negatives, which an image chooses among, but
    which choose no image (NegCLIP, Yuksekgonul et al. 2023).

    Args:
        images: (n, dim).
        texts: (m, dim) with m >= n; text i belongs to image i.
        scale: factor of the cosines (the exponential of a model's `logit_scale`).
        positives: bool (n, m), which texts are right for which images, if an image has more than one, such as equal
            ones; the target is then spread evenly over them (UniCL, Yang et al. 2022).
    """
    logits = scale * images @ texts.T
    n = len(images)
    if positives is None:
        target = torch.arange(n, device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :n].T, target)) / 2
    right = positives.to(logits.dtype)
    of_texts = right[:, :n].T
    return (
        F.cross_entropy(logits, right / right.sum(1, keepdim=True))
        + F.cross_entropy(logits[:, :n].T, of_texts / of_texts.sum(1, keepdim=True))
    ) / 2


def sigmoid_pair_loss(
    images: Tensor,
    texts: Tensor,
    scale: Tensor,
    bias: Tensor,
    positives: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Every pair of an image and a text is judged by itself: do they belong together? (SigLIP, Zhai et al. 2023.)
    The sum over all pairs, divided by the number of images.

    Args:
        images: (n, dim).
        texts: (m, dim) with m >= n; text i belongs to image i, those beyond belong to none.
        scale: factor of the cosines (the exponential of a model's `logit_scale`).
        bias: number that is then added (a model's `logit_bias`).
        positives: bool (n, m), which pairs belong together; (i, i) alone if not given.
        chunk: number of texts compared at once, so that memory grows with n * chunk and not with n * m.
    """
    n, m = len(images), len(texts)

    def part(start: int, some: Tensor) -> Tensor:
        logits = scale * images @ some.T + bias
        if positives is None:
            right = torch.arange(n, device=logits.device)[:, None] == (
                torch.arange(start, start + len(some), device=logits.device)
            )
        else:
            right = positives[:, start : start + len(some)]
        return F.softplus(torch.where(right, -logits, logits)).sum()

    if chunk is None or chunk >= m:
        return part(0, texts) / n
    sums = [
        checkpoint(part, start, texts[start : start + chunk], use_reentrant=False)
        for start in range(0, m, chunk)
    ]
    return torch.stack(sums).sum() / n


@torch.no_grad()
def hard_negatives(logits: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """For each row a wrong column, drawn by the softmax of the logits (ALBEF, Li et al. 2021).

    Args:
        logits: (rows, columns).
        right: bool (rows, columns), which columns are never drawn.

    Returns:
        Rows that have a wrong column, and the column of each.
    """
    rows = (~right.all(1)).nonzero()[:, 0]
    weights = logits[rows].masked_fill(right[rows], -torch.inf).float().softmax(1)
    return rows, torch.multinomial(weights, 1)[:, 0] if len(rows) else rows


def choice_loss(true: Tensor, false: Tensor) -> Tensor:
    """Mean cross-entropy of the choice between a true pair and a false one, by the logarithms of their odds, (n,) each;
    0 if there are none. Unlike the odds themselves, a choice does not depend on how many of all pairs are true."""
    return F.softplus(false - true).sum() / max(len(true), 1)


def matching_loss(logits: Tensor, matched: int, swapped: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Cross-entropy of whether pairs of an image and a text match (ALBEF, Li et al. 2021).

    Args:
        logits: (pairs, 2), not matching and matching; the first `matched` pairs match.
        swapped: numbers of matching pairs (m,), and the logits (m, 2) of their images with false captions, which count
            as pairs, too, and between which and the right ones the model has to choose.
    """
    every = logits if swapped is None else torch.cat([logits, swapped[1]])
    loss = F.cross_entropy(every, (torch.arange(len(every), device=every.device) < matched).long())
    if swapped is None:
        return loss
    odds, false = (pairs[:, 1] - pairs[:, 0] for pairs in (logits[swapped[0]], swapped[1]))
    return loss + choice_loss(odds, false)
