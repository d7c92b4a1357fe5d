"""The layers that the models share: one attention, one block, one of each norm and embedding."""

from .attention import Attention, KVCache
from .block import Block
from .mlp import SwiGLU
from .norm import RMSNorm
from .rotary import Rotary

__all__ = ["Attention", "Block", "KVCache", "RMSNorm", "Rotary", "SwiGLU"]
