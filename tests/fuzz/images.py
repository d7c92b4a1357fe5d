"""Feeds damaged image files to the decoder: each gives an image within its limit or an `ImageError`.

    python -m tests.fuzz.images [--seconds 600] [--seed 0] [--case NUMBER]

The files are decoded in this process, so that a crash of a library ends it. Exit code 1: something else was raised, or
this process grew.
"""

from __future__ import annotations

import io
import sys
import warnings
from functools import cache

import numpy as np
import PIL.Image
import PIL.PngImagePlugin

from tests.fuzz.mutations import chance_of, damaged
from tests.sandbox.fuzz_frames import main
from visprog.errors import ImageError
from visprog.values.image import Image

MAX_PIXELS = 200_000


@cache
def files() -> tuple[bytes, ...]:
    """Well-formed files of every format that is read, with the parts that decoders treat apart."""
    made = []
    noise = np.random.default_rng(0).integers(0, 255, (37, 53, 4), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "description"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 300, zip=True)

    def add(mode: str, kind: str, **options: object) -> None:
        buffer = io.BytesIO()
        PIL.Image.fromarray(noise).convert(mode).save(buffer, kind, **options)
        made.append(buffer.getvalue())

    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        add(mode, "PNG", exif=exif, pnginfo=text)
    for mode in ("RGB", "L", "CMYK"):
        add(mode, "JPEG", exif=exif, progressive=mode == "L", xmp=xmp)
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        add("RGB", "TIFF", compression=compression)
    add("1", "TIFF", compression="group4")
    add("RGB", "GIF")
    add("P", "GIF", save_all=True, append_images=[PIL.Image.new("P", (53, 37))])
    for lossless in (True, False):
        add("RGBA", "WEBP", lossless=lossless, exif=exif)
    for kind in ("BMP", "PPM", "AVIF"):
        add("RGB", kind)
    return tuple(made)


def run_case(seed: int, number: int) -> None:
    chance = chance_of(seed, number)
    data = damaged(chance, chance.choice(files()), files())
    with warnings.catch_warnings(action="ignore"):
        try:
            image = Image.decode(data, "fuzz", MAX_PIXELS)
        except ImageError as error:
            assert str(error).isprintable() and len(str(error)) < 500, error
            return
    assert image.width * image.height <= MAX_PIXELS and image.pixels.shape == (image.height, image.width, 3)


if __name__ == "__main__":
    sys.exit(main(__doc__, run_case))
