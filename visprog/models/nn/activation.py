"""Activations by the names that public checkpoints call them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from .mlp import quick_gelu

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of a name.

    Raises:
        ValueError: there is none of that name here.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation '{name}' is not known; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
