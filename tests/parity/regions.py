"""Inputs of the models that read regions, and how they are compared with their oracles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visprog.models.bert import IGNORED
from visprog.models.regions import Regions

VOCAB, LENGTH, REGIONS = 37, 8, 5


class Batch(NamedTuple):
    """Three texts and the regions of three images, some of both padded."""

    tokens: Tensor
    mask: Tensor
    types: Tensor
    regions: Regions
    words: Tensor


def batch(seed: int, region_dim: int, objects: int = 6, attributes: int = 4) -> Batch:
    torch.manual_seed(seed)
    tokens, types = torch.randint(1, VOCAB, (3, LENGTH)), torch.randint(0, 2, (3, LENGTH))
    mask = torch.arange(LENGTH) < torch.tensor([[LENGTH], [5], [3]])
    boxes = torch.rand(3, REGIONS, 2, 2).sort(2).values.flatten(2)
    regions = Regions(
        torch.randn(3, REGIONS, region_dim), boxes, torch.arange(REGIONS) < torch.tensor([[5], [4], [1]]),
        torch.rand(3, REGIONS, objects).softmax(-1), torch.rand(3, REGIONS, attributes).softmax(-1),
    )  # fmt: skip
    words = tokens.masked_fill(~mask | (torch.rand(3, LENGTH) > 0.5), IGNORED)
    words[0, 0] = 5
    return Batch(tokens, mask, types, regions, words)


def close(found: Tensor, expected: Tensor, name: str = "") -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, msg=(lambda text: f"{name}: {text}"))


def same_gradients(model: Any, expected: Mapping[str, Tensor | None]) -> None:
    """All parameters have the gradients of the oracle, by the names here."""
    for name, parameter in model.named_parameters():
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        wanted = expected[name]
        close(found, torch.zeros_like(parameter) if wanted is None else wanted, name)


def shaken(model: Any) -> Any:
    """A model whose weights are all far from their first values."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model
