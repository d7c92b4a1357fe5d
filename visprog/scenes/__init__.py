"""Scenes: images of simple objects with full ground truth, from which models are trained and judged."""

from __future__ import annotations

from .facts import facts_of
from .objects import COLORS, HELD_OUT, RELATIONS, SIZES, TEXTURES, SceneObject
from .scene import Scene
from .scenes import SPLITS, Scenes
from .shapes import SHAPES
from .styles import STYLES

__all__ = [
    "COLORS",
    "HELD_OUT",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "STYLES",
    "TEXTURES",
    "Scene",
    "SceneObject",
    "Scenes",
    "facts_of",
]  # fmt: skip
