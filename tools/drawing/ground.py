"""The ground of a drawing: its colour, its noise, and the few flat colours on it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SAMPLE_SIZE = 500_000
"""Number of pixels from which the noise and the ground's colour are measured."""


def noise_of(pixels: Array) -> float:
    """Standard deviation of the noise, by the median absolute Laplacian (0 for a clean drawing)."""
    height, width = pixels.shape[:2]
    if height < 3 or width < 3:
        return 0.0
    rows = np.arange(1, height - 1, 1 + height * width // SAMPLE_SIZE)
    above, here, below = (
        cv2.transform(pixels[rows + step].astype(np.float32), np.full((1, 3), 1 / 3)) for step in (-1, 0, 1)
    )
    residual = here[:, 1:-1] - (above[:, 1:-1] + below[:, 1:-1] + here[:, :-2] + here[:, 2:]) / 4
    return float(np.median(np.abs(residual)) * 1.4826 / np.sqrt(1.25) * np.sqrt(3))


def ringing_of(pixels: Array, ground: Array) -> float:
    """Median levels by which the ground varies near what is painted on it, as JPEG leaves it; 0 for a clean drawing."""
    away = cv2.absdiff(pixels, np.full_like(pixels, np.rint(ground)))
    away = np.maximum(np.maximum(away[..., 0], away[..., 1]), away[..., 2])
    strong = (away > 60).astype(np.uint8)
    near, rim = (cv2.dilate(strong, np.ones((size, size), np.uint8)) for size in (13, 5))
    values = away[(near > rim) & (away < 40)]
    return float(np.median(values)) if len(values) else 0.0


def ground_of(pixels: Array, noise: float) -> Array:
    """The colour (3,) of the ground."""
    step = 1 + int(np.sqrt(pixels.shape[0] * pixels.shape[1] / SAMPLE_SIZE))
    palette, ground = palette_of(pixels[::step, ::step].astype(np.float32), noise, 22 + 3.5 * noise)
    return np.asarray(palette[ground])


def palette_of(rgb: Array, noise: float, tolerance: float) -> tuple[Array, int]:
    """The flat colours (K, 3), and the number of the background: it fills most of the image and its rim."""
    kernel = np.ones((3, 3), np.uint8)
    spread = peak(cv2.dilate(rgb, kernel) - cv2.erode(rgb, kernel))
    flat = spread < 10 + 5 * noise
    values = rgb[flat] if flat.any() else rgb.reshape(-1, 3)
    codes = (values.astype(np.int32) >> 3) @ np.array([1024, 32, 1])
    counts = np.bincount(codes, minlength=32768)
    bins = np.flatnonzero(counts)
    sums = np.stack([np.bincount(codes, values[:, i], 32768)[bins] for i in range(3)], 1)
    counts, means = counts[bins], sums / counts[bins][:, None]
    least = max(9, 0.0001 * rgb.shape[0] * rgb.shape[1])
    centres: list[Array] = []
    for i in np.argsort(-counts)[:400]:
        if counts[i] < least / 3 or len(centres) == 16:
            break
        if all(np.linalg.norm(means[i] - c) > 1.3 * tolerance for c in centres):
            near = np.linalg.norm(means - means[i], axis=1) < tolerance / 2
            if counts[near].sum() >= least:
                centres.append(np.average(means[near], axis=0, weights=counts[near]))
    palette = np.array(centres or [np.median(values, axis=0)], np.float32)
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    share = np.zeros(len(palette))
    for colors, weights in ((means, counts / counts.sum()), (rim, np.full(len(rim), 0.5 / len(rim)))):
        distance = np.linalg.norm(colors[:, None] - palette[None], axis=2)
        known = distance.min(1) < tolerance
        share += np.bincount(distance.argmin(1)[known], weights[known], len(palette))
    return palette, int(share.argmax())


def length(colors: Array) -> Array:
    """The length of vectors along the last axis of three; faster than a reduction over so short an axis."""
    return np.asarray(np.sqrt(colors[..., 0] ** 2 + colors[..., 1] ** 2 + colors[..., 2] ** 2))


def peak(colors: Array) -> Array:
    """The largest of three channels."""
    return np.asarray(np.maximum(np.maximum(colors[..., 0], colors[..., 1]), colors[..., 2]))
