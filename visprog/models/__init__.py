"""The systems, one readable file or folder each: `from visprog.models import Clip, Sam, Llava`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clip.model import Clip as Clip
    from .coca import Coca as Coca
    from .llama import Llama as Llama
    from .llava.model import Llava as Llava
    from .owlvit import OwlVit as OwlVit
    from .sam.model import Sam as Sam
    from .sam.predictor import SamPredictor as SamPredictor
    from .siglip import Siglip as Siglip

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the bundled weights, one folder per model."""

_MODULES = {
    "Clip": "clip.model",
    "Coca": "coca",
    "Llama": "llama",
    "Llava": "llava.model",
    "OwlVit": "owlvit",
    "Sam": "sam.model",
    "SamPredictor": "sam.predictor",
    "Siglip": "siglip",
}

__all__ = [*_MODULES, "WEIGHTS"]


def __getattr__(name: str) -> Any:
    # Loaded when first used, since they need torch.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
