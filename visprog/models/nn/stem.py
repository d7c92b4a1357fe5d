"""Images to tokens by convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Convolutions in place of the linear map of patches: a transformer trained on few images learns positions and
    shapes far sooner (Xiao et al. 2021, "Early convolutions help transformers see better").

    The image is halved until each patch is one token, and then refined at that size.

    Shapes: (batch, channels, height, width) → (batch, height / patch * width / patch, dim), row by row.

    Args:
        dim: width of the tokens, a multiple of 32.
        patch: side of the patch that becomes one token, in pixels, a power of two.
        refine: number of residual convolutions at the size of the grid.
        channels: number of channels of the image.

    Raises:
        ValueError: `dim` or `patch` is no such number.
    """

    def __init__(self, dim: int, patch: int, refine: int, channels: int = 3) -> None:
        super().__init__()
        halvings = patch.bit_length() - 1
        if patch != 1 << halvings or not halvings or dim % 32:
            raise ValueError(
                f"a convolutional stem needs a patch that is a power of two and a width of whole 32s, "
                f"not {patch} and {dim}"
            )
        self.patch = patch
        widths = [max(dim >> (halvings - 1 - i), 16) for i in range(halvings)]
        self.halve = nn.ModuleList(_layer(a, b, 2) for a, b in zip((channels, *widths), widths, strict=False))
        self.refine = nn.ModuleList(_layer(dim, dim, 1) for _ in range(refine))
        self.projection = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"an image of {width} x {height} pixels has no whole patches of {self.patch}")
        x = images.to(self.projection.weight.dtype)
        for layer in self.halve:
            x = F.gelu(layer(x))
        for layer in self.refine:
            x = x + F.gelu(layer(x))
        return self.projection(x).flatten(2).transpose(1, 2)


def _layer(inward: int, outward: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inward, outward, 3, stride, 1, bias=False), nn.GroupNorm(outward // 8, outward)
    )
