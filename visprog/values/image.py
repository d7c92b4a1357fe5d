"""An image, read carefully, that knows which larger image it was cut from."""

from __future__ import annotations

import hashlib
import io
import math
import os
import urllib.parse
import urllib.request
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .geometry import Box, Located, Point

if TYPE_CHECKING:
    import PIL.Image

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: a few hundred bytes of PNG can ask for gigabytes of memory."""

MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Image:
    """A picture: 8-bit RGB pixels, and its place in the root image if it is a crop.

    Attributes:
        pixels: uint8 array (H, W, 3), RGB, read-only.
        alpha: uint8 array (H, W), or None where the picture is opaque; `pixels` are then composed over white.
        name: where it came from (a file name), for messages and reports.
        root: the whole picture that this is a crop of; itself, where it is not a crop.
        origin: its top-left corner in the frame of the root, in whole pixels.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    alpha: NDArray[np.uint8] | None = field(default=None, repr=False)
    name: str = ""
    parent: Image | None = field(default=None, repr=False)
    origin: Point = field(default=Point(0, 0))

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ImageError(
                f"pixels must be a uint8 array (H, W, 3), not {self.pixels.dtype} {self.pixels.shape}"
            )
        if 0 in self.pixels.shape:
            raise ImageError("an image needs at least one pixel")
        for name in ("pixels", "alpha"):
            array = getattr(self, name)
            if array is not None:
                array = np.ascontiguousarray(array).view()
                array.setflags(write=False)
                object.__setattr__(self, name, array)

    # -- reading ---------------------------------------------------------------------------------

    @classmethod
    def open(cls, source: Any, *, name: str = "", allow_url: bool = False) -> Image:
        """Read a picture from a path, bytes, a PIL image, an array, or (only with `allow_url`) a URL.

        The EXIF orientation is applied; grey, palette and CMYK become RGB; 16-bit is scaled to 8; alpha is
        kept aside and composed over white; of an animation the only frame is taken, several are refused.

        Args:
            source: path, bytes, file object, `PIL.Image.Image`, `Image`, or array of (H, W), (H, W, 1),
                (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16, bool, or float in 0…1.

        Raises:
            ImageError: missing, broken, animated, too large, or not a picture; the message says which.
        """
        if isinstance(source, Image):
            return source
        if isinstance(source, np.ndarray):
            return cls._from_array(source, name or "array")
        if isinstance(source, bytes | bytearray | memoryview):
            return cls._from_bytes(bytes(source), name or "bytes")
        if isinstance(source, str) and "://" in source:
            return cls._from_url(source, allow_url)
        if isinstance(source, str | os.PathLike):
            return cls._from_path(Path(source))
        if hasattr(source, "read"):
            return cls._from_bytes(source.read(), name or str(getattr(source, "name", "file")))
        import PIL.Image

        if isinstance(source, PIL.Image.Image):
            return cls._from_pil(source, name or "PIL image")
        raise ImageError(
            f"cannot read a picture from {type(source).__name__}: give a path, bytes, a PIL image or an array"
        )

    @classmethod
    def _from_path(cls, path: Path) -> Image:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ImageError(f"no such file: {path}") from None
        except IsADirectoryError:
            raise ImageError(f"{path} is a folder, not a picture") from None
        except OSError as error:
            raise ImageError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError:
            raise ImageError(f"{str(path)!r} is no path of a file") from None
        return cls._from_bytes(data, path.name)

    @classmethod
    def _from_url(cls, url: str, allowed: bool) -> Image:
        if not allowed:
            raise ImageError(
                f"{url} is a URL: download it first, or allow URLs (allow_url=True, --allow-url)"
            )
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ImageError(f"only http and https URLs are read, not {url}")
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                data = reply.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot download {url}: {error}") from None
        return cls._from_bytes(data, url.rsplit("/", 1)[-1])

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> Image:
        import PIL.Image

        if not data:
            raise ImageError(f"{name} is empty")
        if len(data) > MAX_BYTES:
            raise ImageError(f"{name} is larger than {MAX_BYTES >> 20} MiB")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of large pictures, whose size is checked below, and odd ones
                with PIL.Image.open(io.BytesIO(data)) as picture:
                    return cls._from_pil(picture, name)
        except ImageError:
            raise
        except PIL.UnidentifiedImageError:
            raise ImageError(f"{name} is not a picture of a kind that can be read") from None
        except PIL.Image.DecompressionBombError:
            raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels and is refused") from None
        except Exception as error:  # decoders raise many kinds on broken files
            raise ImageError(f"{name} is broken: {error or type(error).__name__}") from None

    @classmethod
    def _from_pil(cls, picture: PIL.Image.Image, name: str) -> Image:
        import PIL.ImageOps

        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height}"
            raise ImageError(f"{name} has {size} pixels, more than {MAX_PIXELS:,}, and is refused")
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # phones write one photograph and its previews as MPO
            raise ImageError(
                f"{name} is an animation of {frames} frames: save the frame that you mean as a picture"
            )
        picture = PIL.ImageOps.exif_transpose(picture)
        mode = picture.mode
        if mode.startswith("I;16") or mode in ("I", "F"):
            return cls._from_array(_to_unit(np.asarray(picture)), name)
        if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
            return cls._from_array(np.asarray(picture.convert("RGBA")), name)
        return cls(np.asarray(picture.convert("RGB")), name=name)

    @classmethod
    def _from_array(cls, array: NDArray[Any], name: str) -> Image:
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
            raise ImageError(f"{name} has shape {array.shape}: a picture is (H, W), (H, W, 3) or (H, W, 4)")
        if array.shape[0] * array.shape[1] > MAX_PIXELS:
            raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels and is refused")
        if array.dtype == bool:
            array = array.astype(np.uint8) * 255
        elif array.dtype == np.uint16:
            array = (array / 257).round().astype(np.uint8)
        elif np.issubdtype(array.dtype, np.floating):
            if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
                raise ImageError(f"{name} holds floats outside 0…1: scale them, or give uint8")
            array = (array * 255).round().astype(np.uint8)
        elif array.dtype != np.uint8:
            raise ImageError(f"{name} has type {array.dtype}: give uint8, uint16, bool, or floats in 0…1")
        if array.shape[2] == 4:
            alpha = array[:, :, 3]
            if (alpha == 255).all():
                return cls(np.array(array[:, :, :3]), name=name)
            share = alpha[:, :, None] / 255
            pixels = (array[:, :, :3] * share + 255 * (1 - share)).round().astype(np.uint8)
            return cls(pixels, np.array(alpha), name)
        return cls(np.repeat(array, 3, 2) if array.shape[2] == 1 else np.array(array), name=name)

    # -- size and place --------------------------------------------------------------------------

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def root(self) -> Image:
        return self if self.parent is None else self.parent.root

    @property
    def box(self) -> Box:
        """The place of this image in the frame of its root."""
        x, y = self.origin.x, self.origin.y
        return Box(x, y, x + self.width, y + self.height)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of size, pixels and alpha, in hex: equal pictures have equal digests."""
        sha = hashlib.sha256(repr(self.pixels.shape).encode())
        sha.update(self.pixels.data)
        if self.alpha is not None:
            sha.update(self.alpha.data)
        return sha.hexdigest()

    def crop(self, region: Located) -> Image:
        """The part under `region` (in the frame of the root), cut to this image, grown to whole pixels.

        Raises:
            ImageError: the region lies outside this image.
        """
        box = region.box
        whole = Box(math.floor(box.left), math.floor(box.top), math.ceil(box.right), math.ceil(box.bottom))
        inner = whole.intersection(self.box)
        if inner is None:
            raise ImageError(f"cannot crop {box}: it lies outside the picture, {self.box}")
        local = self.to_local(inner)
        rows, columns = slice(int(local.top), int(local.bottom)), slice(int(local.left), int(local.right))
        alpha = None if self.alpha is None else self.alpha[rows, columns]
        return Image(self.pixels[rows, columns], alpha, self.name, self, Point(inner.left, inner.top))

    def to_root(self, box: Box) -> Box:
        """A box in this image's own pixels, expressed in the frame of the root."""
        return box.shift(self.origin.x, self.origin.y)

    def to_local(self, region: Located) -> Box:
        """A box in the frame of the root, expressed in this image's own pixels (not cut to it)."""
        return region.box.shift(-self.origin.x, -self.origin.y)

    # -- leaving ---------------------------------------------------------------------------------

    def to_pil(self) -> PIL.Image.Image:
        """A PIL image, RGB, or RGBA where there is alpha."""
        import PIL.Image

        if self.alpha is None:
            return PIL.Image.fromarray(self.pixels)
        return PIL.Image.fromarray(np.dstack([self._colors(self.alpha), self.alpha]))

    def _colors(self, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels before they were composed over white; white where nothing of them is seen."""
        share = np.maximum(alpha, 1)[:, :, None] / 255
        colors = (self.pixels - 255 * (1 - share)) / share
        return colors.round().clip(0, 255).astype(np.uint8)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file; its ending decides the format.

        Raises:
            ImageError: unknown ending, or the file cannot be written.
        """
        picture = self.to_pil()
        if Path(path).suffix.lower() in (".jpg", ".jpeg"):
            picture = picture.convert("RGB")
        try:
            picture.save(path)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot write {path}: {error}") from None

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.to_pil().save(buffer, "png")
        return buffer.getvalue()


def _to_unit(array: NDArray[Any]) -> NDArray[Any]:
    """Samples of 16 or 32 bits as floats in 0…1, by the range that their type or content implies."""
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("the picture holds values that are not finite")
    low, high = float(values.min()), float(values.max())
    if array.dtype.kind == "f":
        span = 1.0 if low >= 0 and high <= 1 else 255.0
    else:
        span = 65535.0
    if low < 0 or high > span:
        raise ImageError("the picture holds values outside the 8-bit and 16-bit ranges")
    return values / span
