"""Linear layers with weights of 8 bits, for language models that write token by token: reading the weights takes most
of that time, and these are a quarter of those in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW_ROWS = 16
"""Number of rows up to which a product is made with the weights as they are."""

BLOCK = 32
"""Inputs and outputs of torch's product with such weights are multiples of this; of others, it reads past the end."""


class Int8Linear(nn.Module):
    """A linear layer whose weights are int8, each row with a scale of its own; activations keep their precision
    (weight-only quantisation, as `torch.ops.aten._weight_int8pack_mm` computes it).

    Shapes: (…, in_features) → (…, out_features).

    Args:
        linear: layer whose weights are rounded.

    Attributes:
        weight: int8 (out_features, in_features), with rows of zeros up to whole blocks.
        scale: one per row, in the precision of the activations.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        scale = (weight.abs().amax(1).float().clamp(min=1e-12) / 127).to(weight.dtype)  # (out_features,)
        whole = (weight.float() / scale.float()[:, None]).round().clamp(-127, 127)
        more = -self.out_features % BLOCK
        self.register_buffer("weight", F.pad(whole.to(torch.int8), (0, 0, 0, more)))
        self.register_buffer("scale", F.pad(scale, (0, more), value=1.0))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        if len(rows) <= FEW_ROWS and self.in_features % BLOCK == 0 and x.device.type == "cpu":
            y = torch._weight_int8pack_mm(rows.contiguous(), self.weight, self.scale)
        else:  # whole numbers up to 127 are exact in every precision
            y = F.linear(rows, self.weight.to(x.dtype)) * self.scale
        y = y[:, : self.out_features].reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


@torch.no_grad()
def quantise(module: nn.Module, name: str) -> None:
    """Replace a child of a module, if it is a linear layer, or else all linear layers within it, one by one, so that
    none is held twice for long."""
    child = getattr(module, name)
    if isinstance(child, nn.Linear):
        setattr(module, name, Int8Linear(child))
        return
    for inner, _ in list(child.named_children()):
        quantise(child, inner)
