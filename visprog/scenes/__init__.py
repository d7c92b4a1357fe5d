"""Scenes: pictures of simple things with full ground truth, from which models are trained and judged."""

from __future__ import annotations

from .facts import facts_of
from .scene import Scene
from .scenes import SPLITS, Scenes
from .shapes import SHAPES
from .styles import STYLES
from .things import COLORS, HELD_OUT, RELATIONS, SIZES, TEXTURES, Thing

__all__ = [
    "COLORS", "HELD_OUT", "RELATIONS", "SHAPES", "SIZES", "SPLITS", "STYLES", "TEXTURES", "Scene", "Scenes",
    "Thing", "facts_of",
]  # fmt: skip
