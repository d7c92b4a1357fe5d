"""Images at another size: by PIL's filters, by those of torch, and as OWLv2 was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING, GAUSSIAN, LINEAR, LINEAR_SAMPLES, LINEAR_LEVELS = range(10)
"""PIL's numbers for its filters, one for `smooth`, and three for `interpolate`: with antialiasing, without it, and
rounded to levels."""


def resize(image: NDArray[np.uint8], size: tuple[int, int], resample: int = BICUBIC) -> NDArray[Any]:
    """An image (height, width, 3) stretched to `size`, (height, width): uint8, or float32 for GAUSSIAN, LINEAR and
    LINEAR_SAMPLES."""
    if image.shape[:2] == size:
        return np.array(image)
    if resample == GAUSSIAN:
        return smooth(image, size)
    if resample in (LINEAR, LINEAR_SAMPLES, LINEAR_LEVELS):
        levels = image if resample == LINEAR_LEVELS else image.astype(np.float32)
        return interpolate(levels, size, antialias=resample != LINEAR_SAMPLES)
    import PIL.Image

    return np.array(PIL.Image.fromarray(image).resize(size[::-1], PIL.Image.Resampling(resample)))


def interpolate(image: NDArray[Any], size: tuple[int, int], *, antialias: bool) -> NDArray[Any]:
    """An image (height, width, 3) stretched to `size`, (height, width), linearly, as torch and torchvision do it: uint8
    is rounded, float32 is not.

    Args:
        antialias: Whether all pixels count when it shrinks; else only those next to each sample.
    """
    import torch
    from torch.nn import functional

    plane = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    stretched = functional.interpolate(plane, size, mode="bilinear", align_corners=False, antialias=antialias)
    values: NDArray[Any] = stretched[0].permute(1, 2, 0).numpy()
    return values


def smooth(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """An image (height, width, 3) stretched to `size`, (height, width), as `skimage.transform.resize` does it: blurred
    by a Gaussian, of (factor - 1) / 2 pixels if it shrinks by a factor, then interpolated linearly. Beyond its edges it
    goes on mirrored."""
    values: NDArray[Any] = image
    for axis in (0, 1):
        source, weights = _taps(image.shape[axis], size[axis])
        shape = [1, 1, 1]
        shape[axis] = size[axis]
        parts = (
            values.take(source[:, i], axis) * weights[:, i].reshape(shape) for i in range(weights.shape[1])
        )
        total = next(parts)
        for part in parts:
            total += part
        values = total
    return values


def _taps(have: int, want: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of `want` pixels of a line, the pixels of a line of `have` that it is made of, and their weights, both
    (want, taps)."""
    places = (np.arange(want) + 0.5) * have / want - 0.5
    left = np.floor(places).astype(np.int64)
    share = (places - left)[:, None]
    sigma = max(have / want - 1, 0) / 2
    radius = int(4 * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2) if radius else np.ones(1)
    kernel = kernel / kernel.sum()
    weights = (1 - share) * np.append(kernel, 0) + share * np.append(0, kernel)
    source = left[:, None] + np.arange(-radius, radius + 2)
    period = max(2 * (have - 1), 1)
    source = np.abs(source) % period if have > 1 else np.zeros_like(source)
    return np.where(source >= have, period - source, source), weights.astype(np.float32)
