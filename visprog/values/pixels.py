"""Arrays and tensors as 8-bit pixels, and transparent pixels composed over a background."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError

_WANTED = "give uint8, uint16, bool, or floats in 0…1"

_ROUNDING = 1e-5
"""By so much floats may leave 0…1."""

BACKGROUNDS = (255, 0, 128)
"""Grey levels that a transparent image may be composed over, best first."""

_NEAR = 40
"""Largest difference of a channel at which a color is lost on a background."""

MAX_LOST = 0.02
"""Share of the outline that may be lost on a background."""

_MIN_TRANSPARENT = 0.01
"""Share of transparent pixels below which these are corners and seams, and the background is white."""


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_to_array(tensor: Any, name: str) -> NDArray[Any]:
    """A torch tensor on any device, (C, H, W) by custom or (H, W, C), as an array with its channels last.

    Raises:
        ImageError: it cannot be copied to an array.
    """
    try:
        tensor = tensor.detach().cpu()
        array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantized, without data
        raise ImageError(f"{name} cannot be made an array ({error}): {_WANTED}") from None
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return array.transpose(1, 2, 0)
    return array


def to_uint8(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """The values of an image in 0…255.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16, bool, or floats in 0…1, in
            either byte order.

    Returns:
        (H, W, 1), (H, W, 3) or (H, W, 4); `array` itself if it is of 8 bits.

    Raises:
        ImageError: another shape or type, floats out of range, or masked values; the message names both what was
            given and what is wanted.
    """
    if np.ma.isMaskedArray(array):
        raise ImageError(f"{name} is a masked array: fill it first, with array.filled(0)")
    array = np.asarray(array)  # of a subclass such as matrix, which has no third axis
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; move its channels last with array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "; give one image of the batch, such as array[0]"
        raise ImageError(f"{name} has shape {array.shape}: an image is (H, W), (H, W, 3) or (H, W, 4){hint}")
    if array.dtype.kind in "uf" and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.asarray((array / 257).round().astype(np.uint8))
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < -_ROUNDING or array.max() > 1 + _ROUNDING:
            raise ImageError(f"{name} holds floats outside 0…1: scale them, or give uint8")
        return np.asarray((array * 255).round().clip(0, 255).astype(np.uint8))
    hint = ", such as array.astype(numpy.uint8) if its values are 0…255" if array.dtype.kind in "iu" else ""
    raise ImageError(f"{name} has type {array.dtype}: {_WANTED}{hint}")


def compose(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels over a background that shows them.

    The background is white, unless the opaque part would be lost on it, such as white text on transparency: then
    it is black, or mid grey for what has light and dark outlines.

    Args:
        rgba: (H, W, 4), not premultiplied.

    Returns:
        (H, W, 3). If any pixel is wholly transparent, its color is the background.
    """
    share = rgba[:, :, 3:] / 255
    background = _background(rgba[:, :, :3], rgba[:, :, 3])
    return np.asarray((rgba[:, :, :3] * share + background * (1 - share)).round().astype(np.uint8))


def separate(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """The colors before they were composed; the background where nothing of them is seen."""
    share = np.maximum(alpha, 1)[:, :, None] / 255
    colors = (pixels - background * (1 - share)) / share
    return np.asarray(colors.round().clip(0, 255).astype(np.uint8))


def _background(colors: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> int:
    """The first of BACKGROUNDS on which the outline of what is opaque is seen, else the one that hides least of it.

    Opaque is what has at least half of the largest alpha; its outline are the pixels beside others.
    """
    opaque = alpha >= max(1, int(alpha.max()) // 2)
    if (~opaque).mean() < _MIN_TRANSPARENT or (alpha > 0).all():
        return BACKGROUNDS[0]
    inner = opaque.copy()
    inner[1:] &= opaque[:-1]
    inner[:-1] &= opaque[1:]
    inner[:, 1:] &= opaque[:, :-1]
    inner[:, :-1] &= opaque[:, 1:]
    outline = colors[opaque & ~inner].astype(np.int16)
    if not len(outline):
        return BACKGROUNDS[0]
    lost = [float((np.abs(outline - level).max(1) <= _NEAR).mean()) for level in BACKGROUNDS]
    good = [b for b, share in zip(BACKGROUNDS, lost, strict=True) if share <= MAX_LOST]
    return good[0] if good else BACKGROUNDS[lost.index(min(lost))]
