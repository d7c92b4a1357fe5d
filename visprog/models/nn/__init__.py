"""The layers that the models share: one attention, one block, one of each norm and embedding."""

from .activation import activation
from .attention import Attention, GrowingKVCache, KVCache
from .block import Block, DropPath, Transformer
from .linear import Linear
from .losses import choice_loss, hard_negatives, info_nce, matching_loss, sigmoid_pair_loss
from .mask_losses import dice_loss, focal_loss, mask_iou
from .mlp import Mlp, SwiGLU, quick_gelu
from .nms import nms
from .norm import LayerNorm2d, RMSNorm
from .patch import PatchEmbed, resize_positions
from .roi_align import roi_align
from .rotary import Rotary
from .stem import ConvStem
from .window import WindowAttention

__all__ = [
    "Attention",
    "Block",
    "ConvStem",
    "DropPath",
    "GrowingKVCache",
    "KVCache",
    "LayerNorm2d",
    "Linear",
    "Mlp",
    "PatchEmbed",
    "RMSNorm",
    "Rotary",
    "SwiGLU",
    "Transformer",
    "WindowAttention",
    "activation",
    "choice_loss",
    "dice_loss",
    "focal_loss",
    "hard_negatives",
    "info_nce",
    "mask_iou",
    "matching_loss",
    "nms",
    "quick_gelu",
    "resize_positions",
    "roi_align",
    "sigmoid_pair_loss",
]
