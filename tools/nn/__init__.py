"""The layers that the models share: one attention, one block, one of each norm and embedding."""

from .attention import Attention, KVCache
from .block import Block, Transformer
from .mlp import Mlp, SwiGLU, quick_gelu
from .norm import LayerNorm2d, RMSNorm
from .patch import PatchEmbed, resize_positions
from .rotary import Rotary

__all__ = [
    "Attention",
    "Block",
    "KVCache",
    "LayerNorm2d",
    "Mlp",
    "PatchEmbed",
    "RMSNorm",
    "Rotary",
    "SwiGLU",
    "Transformer",
    "quick_gelu",
    "resize_positions",
]
