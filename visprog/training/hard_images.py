"""Mined hard images: beside each image, a batch holds one of those most like it (NegCLIP, Yuksekgonul et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data.samples import DataError
from .metrics.retrieval import fingerprint
from .objective import Samples

BLOCK = 4096
"""Number of images that are compared with as many others at a time."""


class HardImages:
    """Samples in twos: one, and one of the images nearest to it. A batch holds the first of all, then the second.

    Args:
        samples: prepared samples; `name_of` gives the name of one, equal for equal images.
        count: number of nearest images that one is drawn from.

    Attributes:
        neighbours: int32 (samples, count), keys of the nearest images, -1 if they are not known; None before they are
            mined. If they are not known, the second is any sample.

    Raises:
        DataError: there are too few samples.
    """

    def __init__(self, samples: Samples, count: int) -> None:
        if len(samples) <= count:
            raise DataError(
                f"hard_images={count} needs more than {count} images to train on, not {len(samples)}"
            )
        self.samples, self.count = samples, count
        self.neighbours: Tensor | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, key: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """A sample, and one whose image is like its own."""
        first = self.samples.sample(key, rng)
        near = -1 if self.neighbours is None else int(rng.choice(self.neighbours[key]))
        return first, self.samples.sample(near if near >= 0 else int(rng.integers(len(self))), rng)

    def collate(self, samples: list[tuple[Any, Any]]) -> Any:
        """A batch of twice as many."""
        return self.samples.collate([first for first, _ in samples] + [second for _, second in samples])

    def mine(self, rows: Mapping[str, Tensor]) -> None:
        """Find the neighbours.

        Args:
            rows: "features" (n, dim), rows of length 1, with "keys" (n,) and "names" (n,), as `Images` numbers them.
        """
        self.neighbours = nearest_images(rows["features"], rows["keys"], rows["names"], len(self), self.count)


class Images:
    """The images of samples, without what training draws for them: {"images", "keys", "names"}."""

    def __init__(self, samples: Samples, objective: Any) -> None:
        self.samples, self.objective = samples, objective

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, key: int, rng: np.random.Generator) -> tuple[int, Any]:
        """A key and its sample, always drawn alike."""
        return key, self.samples.sample(key, np.random.default_rng(key))

    def collate(self, samples: list[tuple[int, Any]]) -> dict[str, Tensor]:
        """A batch of images."""
        return {
            "images": self.objective.image_processor([view.pixels for _, view in samples]),
            "keys": torch.tensor([key for key, _ in samples]),
            "names": torch.tensor([fingerprint(view.pair.name or f"#{key}") for key, view in samples]),
        }


@torch.no_grad()
def nearest_images(features: Tensor, keys: Tensor, names: Tensor, length: int, count: int) -> Tensor:
    """For each sample, those whose images are most like its own, exactly, in the memory of a few blocks.

    Samples of one image, such as its five captions, count as one; of a neighbour with several samples, theirs are taken
    in turn.

    Args:
        features: (n, dim), rows of length 1.
        keys: int64 (n,), of the samples.
        names: int64 (n,), equal for samples of one image.
        length: number of samples, those without features included.
        count: number of neighbours.

    Returns:
        Keys, int32 (length, count); -1 if they are not known.

    Raises:
        DataError: there are too few different images.
    """
    _, image, sizes = names.unique(return_inverse=True, return_counts=True)
    if len(sizes) <= count:
        raise DataError(f"hard_images={count} needs more than {count} different images, not {len(sizes)}")
    order = image.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes  # where the samples of each image begin in that order
    near = _nearest(features[order[starts]], count)[image]  # (n, count), numbers of images
    turn = torch.empty_like(image)
    turn[order] = torch.arange(len(image)) - starts[image[order]]
    chosen = order[starts[near] + turn[:, None] % sizes[near]]
    table = torch.full((length, count), -1, dtype=torch.int32)
    table[keys] = keys[chosen].int()
    return table


def _nearest(features: Tensor, count: int) -> Tensor:
    """Numbers (n, count) of the rows with the greatest products with each row, itself excluded."""
    found = []
    for start in range(0, len(features), BLOCK):
        rows = features[start : start + BLOCK].float()
        best = rows.new_full((len(rows), count), -torch.inf)
        which = torch.zeros(len(rows), count, dtype=torch.long)
        for at in range(0, len(features), BLOCK):
            products = rows @ features[at : at + BLOCK].float().T
            if at == start:
                products.fill_diagonal_(-torch.inf)
            numbers = torch.arange(at, at + products.shape[1]).expand(len(rows), -1)
            best, place = torch.cat([best, products], 1).topk(count)
            which = torch.cat([which, numbers], 1).gather(1, place)
        found.append(which)
    return torch.cat(found)
