"""The systems, one readable file or folder each: `from visprog.models import Clip, Sam, Llava, load_model`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import PretrainedModel as PretrainedModel
    from .base import load_model as load_model
    from .clip.model import Clip as Clip
    from .clip.model import ClipConfig as ClipConfig
    from .clip.model import ImageEncoder as ImageEncoder
    from .clip.model import ImageEncoderConfig as ImageEncoderConfig
    from .clip.model import TextEncoder as TextEncoder
    from .clip.model import TextEncoderConfig as TextEncoderConfig
    from .coca import Coca as Coca
    from .coca import CocaConfig as CocaConfig
    from .llama import Llama as Llama
    from .llama import LlamaConfig as LlamaConfig
    from .llava.chat import Chat as Chat
    from .llava.model import Llava as Llava
    from .llava.model import LlavaConfig as LlavaConfig
    from .owlvit import OwlVit as OwlVit
    from .owlvit import OwlVitConfig as OwlVitConfig
    from .preprocess.image_processor import ImageProcessor as ImageProcessor
    from .preprocess.tokenizer import Tokenizer as Tokenizer
    from .sam.automatic import SamAutomaticMaskGenerator as SamAutomaticMaskGenerator
    from .sam.model import Sam as Sam
    from .sam.model import SamConfig as SamConfig
    from .sam.predictor import SamPredictor as SamPredictor
    from .siglip import Siglip as Siglip
    from .siglip import SiglipConfig as SiglipConfig
    from .zero_shot import ZeroShot as ZeroShot

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the bundled weights, one folder per model."""

BUNDLED = ("clip", "coca", "llava", "owl", "planner", "sam")
"""Names of the bundled models, which are their folders in `WEIGHTS`."""

_MODULES = {
    "Chat": "llava.chat",
    "Clip": "clip.model",
    "ClipConfig": "clip.model",
    "Coca": "coca",
    "CocaConfig": "coca",
    "ImageEncoder": "clip.model",
    "ImageEncoderConfig": "clip.model",
    "ImageProcessor": "preprocess.image_processor",
    "Llama": "llama",
    "LlamaConfig": "llama",
    "Llava": "llava.model",
    "LlavaConfig": "llava.model",
    "OwlVit": "owlvit",
    "OwlVitConfig": "owlvit",
    "PretrainedModel": "base",
    "Sam": "sam.model",
    "SamAutomaticMaskGenerator": "sam.automatic",
    "SamConfig": "sam.model",
    "SamPredictor": "sam.predictor",
    "Siglip": "siglip",
    "SiglipConfig": "siglip",
    "TextEncoder": "clip.model",
    "TextEncoderConfig": "clip.model",
    "Tokenizer": "preprocess.tokenizer",
    "ZeroShot": "zero_shot",
    "load_model": "base",
}

__all__ = [*_MODULES, "BUNDLED", "WEIGHTS"]


def __getattr__(name: str) -> Any:
    # Loaded when first used, since they need torch.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
