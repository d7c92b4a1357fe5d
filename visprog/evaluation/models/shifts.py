"""Images as other conditions would show them: corruptions, other viewpoints, other styles, each in five severities.

Corruptions are those of Hendrycks & Dietterich 2019 (arXiv:1903.12261), with the settings of ImageNet-C; what is
measured in pixels there, of images of 224, is scaled to the size of the image. Viewpoints turn, shrink and shear the
image, with its edges repeated around it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from ...scenes.styles import EFFECTS

Pixels = NDArray[np.uint8]
Shift = Callable[[Pixels, int, np.random.Generator], Pixels]
"""An image, a severity from 0 to 4, and what noise is drawn from → the image under another condition."""

SEVERITIES = 5


def _noise(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[severity]
    return _levels(pixels / 255 + rng.normal(0, deviation, pixels.shape))


def _blur(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    import cv2

    sigma = (1, 2, 3, 4, 6)[severity] * min(pixels.shape[:2]) / 224
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _jpeg(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "jpeg", quality=(25, 18, 15, 10, 7)[severity])
    return np.asarray(PIL.Image.open(file, formats=("JPEG",)).convert("RGB"))


def _brightness(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """The value of each colour (the V of HSV) is raised."""
    more = (0.1, 0.2, 0.3, 0.4, 0.5)[severity]
    colors = pixels / 255
    value = colors.max(2, keepdims=True)
    raised = np.clip(value + more, 0, 1)
    return _levels(np.where(value > 0, colors / np.maximum(value, 1e-9) * raised, raised))


def _contrast(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    colors = pixels / 255
    mean = colors.mean((0, 1))
    return _levels((colors - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity] + mean)


def _pixelate(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    factor = (0.6, 0.5, 0.4, 0.3, 0.25)[severity]
    small = max(int(width * factor), 1), max(int(height * factor), 1)
    image = PIL.Image.fromarray(pixels).resize(small, PIL.Image.Resampling.BOX)
    return np.asarray(image.resize((width, height), PIL.Image.Resampling.NEAREST))


def _rotation(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    angle = np.radians((10, 20, 30, 45, 60)[severity]) * rng.choice((-1, 1))
    return _warped(pixels, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def _scale(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    return _warped(pixels, np.eye(2) * (0.85, 0.7, 0.6, 0.5, 0.4)[severity])


def _shear(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    slope = (0.1, 0.2, 0.3, 0.45, 0.6)[severity] * rng.choice((-1, 1))
    return _warped(pixels, np.array([[1, slope], [0, 1]]))


CORRUPTIONS: Mapping[str, Shift] = {
    "noise": _noise, "blur": _blur, "jpeg": _jpeg, "brightness": _brightness, "contrast": _contrast,
    "pixelate": _pixelate,
}  # fmt: skip
VIEWPOINTS: Mapping[str, Shift] = {"rotation": _rotation, "scale": _scale, "shear": _shear}
STYLES = tuple(style for style in EFFECTS if style not in ("normal", "infrared"))
"""Styles of scenes that any image can be shown in."""


def shifted(pixels: Pixels, condition: str, severity: int, seed: int) -> Pixels:
    """An image under another condition, always the same for a seed.

    Args:
        pixels: (height, width, 3).
        condition: a name of `CORRUPTIONS`, `VIEWPOINTS` or `STYLES`.
        severity: from 0 to 4; a style has none.
        seed: of the noise, and of the side that a viewpoint turns to.
    """
    if condition in STYLES:
        return EFFECTS[condition](pixels)
    shift = CORRUPTIONS.get(condition) or VIEWPOINTS[condition]
    return shift(pixels, severity, np.random.default_rng((seed, severity, *condition.encode())))


def _levels(colors: NDArray[np.float64]) -> Pixels:
    return (np.clip(colors, 0, 1) * 255).round().astype(np.uint8)


def _warped(pixels: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """An image under a linear map of places around its centre."""
    import cv2

    height, width = pixels.shape[:2]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    affine = np.column_stack([matrix, center - matrix @ center])
    warped = cv2.warpAffine(pixels, affine, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)
