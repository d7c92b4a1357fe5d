"""Random views of an image, as SimCLR draws them (Chen et al. 2020, appendix A; colours and blur as the authors' code).

Colours are float32 (height, width, 3), 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.models.preprocess.resample import resize

from .samples import Pixels

Colors = NDArray[np.float32]

CROP_ATTEMPTS = 10
"""Number of crops that are drawn before the largest one of the nearest proportions is taken, of the middle."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to an image, at random and in this order.

    Attributes:
        area: least share of the image that a crop shows, which is stretched to a square; None for no crop.
        flip: whether half of the views are mirrored.
        jitter: strength of the change of colours, which 8 of 10 views have; 0 for none.
        grey: share of views without colours.
        blur: share of views that are blurred.
    """

    area: float | None = 0.08
    flip: bool = True
    jitter: float = 1.0
    grey: float = 0.2
    blur: float = 0.5

    def __post_init__(self) -> None:
        if self.area is not None and not 0 < self.area <= 1:
            raise ValueError(f"area must lie in (0, 1], not {self.area}")
        if self.jitter < 0:
            raise ValueError(f"jitter must not be negative, but is {self.jitter}")
        if not (0 <= self.grey <= 1 and 0 <= self.blur <= 1):
            raise ValueError(f"grey and blur are shares from 0 to 1, not {self.grey} and {self.blur}")

    def __call__(self, image: Pixels, size: int, rng: np.random.Generator) -> Pixels:
        """A view of an image, uint8 (size, size, 3); without crops, of the image's own size."""
        view = image if self.area is None else random_resized_crop(image, size, self.area, rng)
        if self.flip and rng.random() < 0.5:
            view = view[:, ::-1]
        colors = view.astype(np.float32) / np.float32(255)
        if self.jitter and rng.random() < 0.8:
            colors = jitter_colors(colors, self.jitter, rng)
        if rng.random() < self.grey:
            colors = np.repeat(cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        if rng.random() < self.blur:
            colors = blur(colors, size // 10, float(rng.uniform(0.1, 2.0)))
        return np.asarray((colors * 255).round(), np.uint8)


def random_resized_crop(image: Pixels, size: int, area: float, rng: np.random.Generator) -> Pixels:
    """A part of an image, stretched to (size, size, 3): its share of the area is drawn evenly between `area` and 1, the
    logarithm of its proportions between those of 3:4 and 4:3."""
    height, width = image.shape[:2]
    for _ in range(CROP_ATTEMPTS):
        pixels, ratio = (
            height * width * rng.uniform(area, 1),
            np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))),
        )
        across, down = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
        if 0 < across <= width and 0 < down <= height:
            left, top = rng.integers(0, width - across + 1), rng.integers(0, height - down + 1)
            break
    else:  # of an image that is much longer than wide
        across, down = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - across) // 2, (height - down) // 2
    return resize(image[top : top + down, left : left + across], (size, size))


def jitter_colors(colors: Colors, strength: float, rng: np.random.Generator) -> Colors:
    """Colours with another brightness, contrast, saturation and hue, changed in random order."""
    low, high, turn = max(1 - 0.8 * strength, 0), 1 + 0.8 * strength, 0.2 * strength
    changes = (
        lambda x: adjust_brightness(x, rng.uniform(low, high)),
        lambda x: adjust_contrast(x, rng.uniform(low, high)),
        lambda x: adjust_saturation(x, rng.uniform(low, high)),
        lambda x: adjust_hue(x, rng.uniform(-turn, turn)),
    )
    for number in rng.permutation(4):
        colors = changes[number](colors)
    return colors


def adjust_brightness(colors: Colors, factor: float) -> Colors:
    """Colours times a factor."""
    return _clipped(colors * np.float32(factor))


def adjust_contrast(colors: Colors, factor: float) -> Colors:
    """Colours whose distance from the mean of their channel is multiplied by a factor."""
    changed = colors * np.float32(factor)
    changed += np.array(cv2.mean(colors)[:3], np.float32) * np.float32(1 - factor)
    return _clipped(changed)


def adjust_saturation(colors: Colors, factor: float) -> Colors:
    """Colours whose saturation is multiplied by a factor."""
    hsv = cv2.cvtColor(colors, cv2.COLOR_RGB2HSV)  # hue in degrees, the others from 0 to 1
    hsv[..., 1] = np.minimum(hsv[..., 1] * np.float32(factor), 1)
    return _clipped(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def adjust_hue(colors: Colors, turn: float) -> Colors:
    """Colours whose hue is turned by a share of the circle."""
    hsv = cv2.cvtColor(colors, cv2.COLOR_RGB2HSV)
    hsv[..., 0] += np.float32(360 * (turn % 1))  # OpenCV takes angles beyond the circle, none below 0
    return _clipped(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def blur(colors: Colors, kernel: int, sigma: float) -> Colors:
    """Colours blurred by a Gaussian that is cut off after half of `kernel` pixels, with black beyond the edges."""
    steps = np.arange(-(kernel // 2), kernel // 2 + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    return np.asarray(
        cv2.sepFilter2D(colors, -1, weights, weights, borderType=cv2.BORDER_CONSTANT), np.float32
    )


def _clipped(colors: Colors) -> Colors:
    return np.clip(colors, 0, 1, out=colors)
