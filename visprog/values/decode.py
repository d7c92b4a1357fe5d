"""Image files decoded: a few formats only, none of their metadata trusted, and errors that blame the right side."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .signatures import describe

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF")
"""Formats that are read, by Pillow's names. JPEG includes MPO, and PPM includes PBM, PGM and PNM.

Pillow's other decoders are rarely used and rarely tested, and one of them starts Ghostscript: they are never asked,
whatever the name of a file says. The formats that Pillow has loaded anyway come first.
"""

_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\b""")
_UNSUPPORTED = re.compile(r"support|not available|unknown|cannot (handle|decode)|no decoder", re.IGNORECASE)


def open_header(data: bytes) -> PIL.Image.Image:
    """An image file with its size known and its pixels not yet decoded.

    Raises:
        Exception: whatever Pillow raises; `blaming` turns it into an `ImageError`.
    """
    import PIL.Image

    try:
        return PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.Image.DecompressionBombError:
        raise
    except Exception:  # it may be the metadata
        bare, exif = _without_metadata(data)
        if bare == data:
            raise
        image = PIL.Image.open(io.BytesIO(bare), formats=FORMATS)
        image.info.setdefault("exif", exif)
        return image


@contextlib.contextmanager
def blaming(name: str, max_pixels: int, data: bytes = b"") -> Iterator[None]:
    """Turns whatever a library raises while it opens or decodes an image into an `ImageError` that says why."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of large images, whose size is checked here
            yield
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise too_large(name, max_pixels, str(error)) from None
    except MemoryError:
        raise ImageError(f"{name} needs more memory than there is: make it smaller") from None
    except (PIL.UnidentifiedImageError, KeyError):  # a KeyError: of a format that an old Pillow does not know
        raise ImageError(f"{name} {describe(data)}") from None
    except Exception as error:  # decoders raise many kinds
        text = str(error) or type(error).__name__
        if "closed" in text:
            raise ImageError(f"{name} is closed: open it again") from None
        if _UNSUPPORTED.search(text):
            raise ImageError(f"{name} cannot be decoded ({text}): convert it to PNG or JPEG") from None
        raise ImageError(f"{name} is broken: {text}") from None


def too_large(name: str, max_pixels: int, size: str | tuple[int, int]) -> ImageError:
    """The error of an image with too many pixels.

    Args:
        size: (width, height), or Pillow's words, which hold the number of pixels.
    """
    if isinstance(size, str):
        found = re.search(r"\d+", size)
        if found and int(found[0]) <= max_pixels:
            return ImageError(f"{name} has more pixels than PIL.Image.MAX_IMAGE_PIXELS allows: raise that")
        there = f"more than {max_pixels:,} pixels"
    else:
        there = f"{size[0]} x {size[1]} pixels, more than {max_pixels:,}"
    return ImageError(f"{name} has {there}: make it smaller, or allow more with max_pixels (--max-pixels)")


def to_array(image: PIL.Image.Image, name: str, max_pixels: int) -> NDArray[Any]:
    """The upright pixels of a Pillow image, and its alpha.

    Returns:
        (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; uint8, or floats in 0…1 if there are more than 8 bits.

    Raises:
        ImageError: it has too many pixels or several frames, or is a preview only.
        Exception: what Pillow raises while it decodes; `blaming` turns it into an `ImageError`.
    """
    if image.width * image.height > max_pixels:
        raise too_large(name, max_pixels, image.size)
    tags = getattr(image, "tag_v2", {})
    if tags.get(254) == 1 or 50706 in tags:  # NewSubfileType: reduced resolution; DNGVersion
        raise ImageError(f"{name} is a raw photograph, which is not read: convert it to PNG or JPEG")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # phones write one photograph and its previews as MPO
        what = "a document or an animation" if image.format == "TIFF" else "an animation"
        raise ImageError(f"{name} is {what} of {frames} frames: save the frame that you mean as an image")
    image = _upright(image)
    mode, transparent = image.mode, image.info.get("transparency")
    if mode.startswith("I;16") or mode in ("I", "F"):
        grey = _to_unit(np.asarray(image), name)
        if not isinstance(transparent, int):
            return grey[:, :, None]
        alpha = (np.asarray(image) != transparent).astype(np.float64)
        return np.dstack([grey, grey, grey, alpha])
    if mode == "La":  # which Pillow converts to nothing else
        image = image.convert("LA")
    if mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return np.asarray(image.convert("RGBA"))
    if transparent is not None:
        if (
            isinstance(transparent, tuple) and max(transparent) > 255
        ):  # 16-bit samples, which Pillow reads as 8-bit
            image.info["transparency"] = tuple(v >> 8 for v in transparent)
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image decoded and turned as its orientation says; the other tags are neither written nor read."""
    import PIL.Image
    import PIL.TiffTags

    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # Pillow turns a TIFF while it loads it, and would read these directories of tags
        for group in PIL.TiffTags.TAGS_V2_GROUPS:
            if group in tags:
                del tags[group]
    image.load()
    turn = PIL.Image.Transpose
    method = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }.get(orientation(image))
    return image if method is None else image.transpose(method)


def orientation(image: PIL.Image.Image) -> int:
    """Orientation by EXIF, else by XMP, in 1…8; 1 if it is missing, out of range or cannot be read."""
    with contextlib.suppress(Exception):  # tags that cannot be parsed do not make pixels wrong
        value: Any = image.getexif().get(_ORIENTATION)
        if isinstance(value, tuple | bytes):
            value = value[0]
        if 1 <= int(value) <= 8:
            return int(value)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    found = _XMP_ORIENTATION.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp))
    return int(found[1]) if found else 1


def _to_unit(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Samples of 16 or 32 bits as floats in 0…1, by the range that their type or content implies."""
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} holds values that are not finite: replace them")
    low, high = float(values.min()), float(values.max())
    if array.dtype.kind == "f":
        span = 1.0 if low >= 0 and high <= 1 else 255.0
    else:
        span = 65535.0
    if low < 0 or high > span:
        raise ImageError(f"{name} holds values outside the 8-bit and 16-bit ranges: scale them to 0…65535")
    return values / span


# -- metadata that keeps an image from being opened -----------------------------------------------------

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT")


def _without_metadata(data: bytes) -> tuple[bytes, bytes]:
    """A PNG, JPEG or AVIF file without its metadata, and the EXIF block that a JPEG had."""
    try:
        if data.startswith(_PNG):
            return _PNG + b"".join(_png_chunks(data)), b""
        if data.startswith(b"\xff\xd8"):
            return _bare_jpeg(data)
        if data[4:8] == b"ftyp":  # an item of an unknown type is passed over
            return re.sub(rb"(infe.{8})Exif", rb"\1none", data, flags=re.DOTALL), b""
    except (struct.error, IndexError):  # it ends in the middle
        pass
    return data, b""


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = len(_PNG)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] in _PNG_NEEDED:
            yield data[at : at + 12 + length]
        at += 12 + length


def _bare_jpeg(data: bytes) -> tuple[bytes, bytes]:
    kept, exif, at = [data[:2]], b"", 2
    while data[at + 1] != 0xDA:  # the start of the pixels
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        # Of what applications add, only Adobe's segment says how the colors are coded.
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or (marker == 0xEE and len(segment) >= 16):
            kept.append(segment)
        at += 2 + length
    return b"".join([*kept, data[at:]]), exif
