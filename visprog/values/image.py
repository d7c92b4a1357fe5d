"""An image, read carefully, that knows which larger image it was cut from."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..files.limits import limits
from ..files.reading import printable, read_file, read_stream
from ..report.figures import notebook_bytes
from .decode import blaming, open_header, to_array, too_large
from .elsewhere import decoded
from .frames import mask_in, region_in
from .geometry import Box, Located, Point
from .mask import Mask
from .pixels import compose, is_tensor, separate, tensor_to_array, to_uint8
from .region import Region

if TYPE_CHECKING:
    import PIL.Image

T = TypeVar("T")

MAX_PIXELS = 100_000_000
"""Larger images are refused unless more is asked for: a few hundred bytes of PNG can ask for gigabytes of memory."""


class _Array(Protocol):
    """An array of numpy, torch or another library."""

    @property
    def shape(self) -> Any: ...


ImageLike: TypeAlias = (
    "Image | PIL.Image.Image | _Array | str | os.PathLike[str] | bytes | bytearray | IO[bytes]"
)
"""What `Image.open` reads."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image: 8-bit RGB pixels, and its place in the root image if it is a crop.

    Attributes:
        pixels: uint8 array (H, W, 3), RGB, read-only.
        alpha: uint8 array (H, W), or None if the image is opaque; with it, `pixels` are composed over a
            background, which is white unless that would hide what is drawn.
        name: where it came from (a file name), for messages and reports.
        root: the whole image that this is a crop of; itself if it is not a crop.
        origin: its top-left corner in the frame of the root, in whole pixels.
        time: seconds from the start of the video that it is a frame of; 0 if it is of none.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    alpha: NDArray[np.uint8] | None = field(default=None, repr=False)
    name: str = ""
    parent: Image | None = field(default=None, repr=False)
    origin: Point = field(default=Point(0, 0))
    time: float = field(default=0.0, kw_only=True)

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
    def open(
        cls, source: Any, *, name: str = "", allow_url: bool = False, max_pixels: int | None = None
    ) -> Image:
        """Read an image from a path, bytes, a PIL image, an array, a tensor, or (only with `allow_url`) a URL.

        The orientation in EXIF or XMP is applied; grey, palette and CMYK become RGB; 16-bit is scaled to 8; alpha
        is kept aside and composed over white, or over black or grey if white would hide what is drawn; of an
        animation the only frame is taken, several are refused.

        Args:
            source: path, bytes, binary file object, `PIL.Image.Image`, `Image`, array of (H, W), (H, W, 1),
                (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16, bool, or float in 0…1; or a torch tensor of
                these types, (C, H, W) or (H, W, C).
            name: for messages and reports, if the source has none of its own.
            max_pixels: larger images are refused; MAX_PIXELS by default. More than that raises
                `PIL.Image.MAX_IMAGE_PIXELS` as far as it must.

        Raises:
            ImageError: missing, no regular file, broken, animated, too large, or not an image; the message says
                which.
        """
        if isinstance(source, Image):
            return source
        most = MAX_PIXELS if max_pixels is None else max_pixels
        if isinstance(source, str) and "://" in source:
            return cls._from_url(source, allow_url, most)
        if isinstance(source, str | os.PathLike):
            return cls._from_path(source, most)
        given = printable(name)
        if isinstance(source, bytes | bytearray | memoryview):
            return cls._from_bytes(bytes(source), given or getattr(source, "name", "bytes"), most)
        if is_tensor(source):
            return cls._from_array(tensor_to_array(source, given or "tensor"), given or "tensor", most)
        if isinstance(source, np.ndarray):
            return cls._from_array(source, given or "array", most)
        if hasattr(source, "read"):
            given = given or printable(str(getattr(source, "name", "file")))
            return cls._from_bytes(_read(source, given), given, most)
        import PIL.Image

        if isinstance(source, PIL.Image.Image):
            given = given or "PIL image"
            with blaming(given, most):
                array = to_array(source, given, most)
            return cls._from_array(array, given, most)
        hint = "; give several images one after another" if isinstance(source, list | tuple) else ""
        raise ImageError(
            f"cannot read an image from {type(source).__name__}: "
            f"give a path, bytes, a PIL image, an array or a tensor{hint}"
        )

    @classmethod
    def _from_path(cls, given: str | os.PathLike[str], max_pixels: int) -> Image:
        path = os.fsdecode(given)
        shown = printable(path)
        if not path:
            raise ImageError("the path of the image is empty: give that of a file")
        try:
            data = read_file(path, limits().file_bytes)
        except FileNotFoundError:
            hint = ""
            if path.startswith("data:"):
                shown, hint = printable(path, 40), ": a data URL is read from bytes, decoded with base64"
            raise ImageError(f"no such file: {shown}{hint}") from None
        except IsADirectoryError:
            raise ImageError(
                f"{shown} is a folder, not an image (Video.open reads its images as the frames of a video)"
            ) from None
        except OSError as error:
            raise ImageError(f"cannot read {shown}: {error.strerror or error}") from None
        except ValueError:
            raise ImageError(f"'{shown}' is no path of a file") from None
        return cls._from_bytes(data, printable(os.path.basename(path)), max_pixels)

    @classmethod
    def _from_url(cls, url: str, allowed: bool, max_pixels: int) -> Image:
        import http.client
        import urllib.parse
        import urllib.request

        shown = printable(url)
        scheme, _, rest = url.partition("://")
        if scheme.lower() == "file":
            raise ImageError(
                f"only http and https URLs are read, not {shown}: give the path of the file, "
                f"{printable(urllib.parse.unquote(rest))}"
            )
        if not allowed:
            raise ImageError(
                f"{shown} is a URL: download it first, or allow URLs (allow_url=True, --allow-url)"
            )
        if scheme.lower() not in ("http", "https"):
            raise ImageError(f"only http and https URLs are read, not {shown}")
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                data = read_stream(reply, limits().file_bytes)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ImageError(f"cannot download {shown}: {error}") from None
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        return cls._from_bytes(data, printable(name) or shown, max_pixels)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str, max_pixels: int) -> Image:
        if not data:
            raise ImageError(f"{name} is empty")
        if len(data) > limits().file_bytes:
            raise ImageError(f"{name} is larger than {limits().file_bytes / 2**20:g} MiB")
        found = decoded("image", data, name, max_pixels) if cls is Image else None
        return cls.decode(data, name, max_pixels) if found is None else found

    @classmethod
    def decode(cls, data: bytes, name: str, max_pixels: int) -> Image:
        """Decode an image file in this process, whatever `visprog.values.elsewhere` says; raises as `open`."""
        import PIL.Image

        limit = PIL.Image.MAX_IMAGE_PIXELS
        if limit is not None and max_pixels > max(2 * limit, MAX_PIXELS):  # Pillow refuses twice its limit
            PIL.Image.MAX_IMAGE_PIXELS = max_pixels
        with blaming(name, max_pixels, data), open_header(data) as picture:
            array = to_array(picture, name, max_pixels)
        return cls._from_array(array, name, max_pixels)

    @classmethod
    def _from_array(cls, array: NDArray[Any], name: str, max_pixels: int) -> Image:
        if array.ndim > 1 and array.shape[0] * array.shape[1] > max_pixels:
            raise too_large(name, max_pixels, (array.shape[1], array.shape[0]))
        pixels = to_uint8(array, name)
        if pixels.shape[2] == 4:
            alpha = pixels[:, :, 3]
            if (alpha == 255).all():
                return cls(np.array(pixels[:, :, :3]), name=name)
            return cls(compose(pixels), np.array(alpha), name)
        if pixels.shape[2] == 1:
            return cls(np.repeat(pixels, 3, 2), name=name)
        return cls(np.array(pixels), name=name)

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
        """SHA-256 of size, pixels and alpha, in hex: equal images have equal digests."""
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
            raise ImageError(f"cannot crop {box}: it lies outside the image, {self.box}")
        local = self.to_local(inner)
        rows, columns = slice(int(local.top), int(local.bottom)), slice(int(local.left), int(local.right))
        alpha = None if self.alpha is None else self.alpha[rows, columns]
        corner = Point(inner.left, inner.top)
        return Image(self.pixels[rows, columns], alpha, self.name, self, corner, time=self.time)

    def region(self, box: Any = None, label: str = "", score: float = 1.0, *, mask: Any = None) -> Region:
        """What a model found in this image, from its own numbers, as a region in the frame of the root.

        Args:
            box: (left, top, right, bottom) in this image's own pixels, from its top-left corner: four numbers, an
                array or a tensor of four, or a `Box`. It is cut to the image. Around the mask, if it is left out.
            label: what it is.
            score: confidence, 0 to 1.
            mask: its pixels, as `to_mask` takes them, or a `Mask`.

        Raises:
            ValueError: the box lies outside the image, is upside down, or is in fractions of the image; or the mask is
                of another size.
        """
        return region_in(self, box, label, score, mask)

    def to_mask(self, pixels: Any) -> Mask:
        """An array (H, W) of this image's size as a mask in the frame of the root.

        Args:
            pixels: bool; integers, that are True unless 0; or probabilities, that are True above 0.5.

        Raises:
            ValueError: it is of another size, or holds floats outside 0…1.
        """
        return mask_in(self, pixels)

    def to_root(self, value: T) -> T:
        """A value with a place (box, point, shape, mask, region) moved from this image's frame to that of the root."""
        moved: Any = value
        return moved.shift(self.origin.x, self.origin.y) if isinstance(value, Point | Located) else value

    def to_local(self, region: Located) -> Box:
        """A box in the frame of the root, expressed in this image's own pixels (not cut to it)."""
        return region.box.shift(-self.origin.x, -self.origin.y)

    # -- leaving ---------------------------------------------------------------------------------

    def to_pil(self) -> PIL.Image.Image:
        """A PIL image, RGB, or RGBA if there is alpha."""
        import PIL.Image

        if self.alpha is None:
            return PIL.Image.fromarray(self.pixels)
        colors = separate(self.pixels, self.alpha, self._background)
        return PIL.Image.fromarray(np.dstack([colors, self.alpha]))

    @property
    def _background(self) -> int:
        """Grey level that the pixels were composed over: the color of what is wholly transparent, else white."""
        for image in (self, self.root):
            hidden = None if image.alpha is None else np.flatnonzero(image.alpha.ravel() == 0)
            if hidden is not None and len(hidden):
                return int(image.pixels.reshape(-1, 3)[hidden[0], 0])
        return 255

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file; its ending decides the format.

        Raises:
            ImageError: unknown ending, or the file cannot be written.
        """
        import PIL.Image

        # JPEG holds no transparency: what is composed is written.
        is_jpeg = PIL.Image.registered_extensions().get(Path(path).suffix.lower()) == "JPEG"
        picture = PIL.Image.fromarray(self.pixels) if is_jpeg else self.to_pil()
        try:
            picture.save(path)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot write {path}: {error}") from None

    def __repr__(self) -> str:
        name = f"{self.name if len(self.name) <= 40 else self.name[:39] + '…'!r}, " if self.name else ""
        place = f", crop at ({self.origin.x:g}, {self.origin.y:g})" if self.parent is not None else ""
        return f"Image({name}{self.width} x {self.height}{place})"

    def _repr_png_(self) -> bytes | None:
        return notebook_bytes(self.to_pil(), "image/png")

    def _repr_jpeg_(self) -> bytes | None:
        return notebook_bytes(self.to_pil(), "image/jpeg")


def _read(stream: Any, name: str) -> bytes:
    """The bytes of a binary file, or of anything with a `read`."""
    try:
        # What is no stream reads once, and bounds itself.
        data = read_stream(stream, limits().file_bytes) if hasattr(stream, "readinto") else stream.read()
    except ImageError:
        raise
    except UnicodeDecodeError:
        raise ImageError(f"{name} is opened as text: open it with 'rb'") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if isinstance(data, str):
        raise ImageError(f"{name} is opened as text: open it with 'rb'")
    if not isinstance(data, bytes | bytearray):
        raise ImageError(f"reading {name} gives {type(data).__name__}, not bytes: read it first")
    if not data:
        raise ImageError(f"{name} is empty, or was read to its end already: go back with seek(0)")
    return bytes(data)
