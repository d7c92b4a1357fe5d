"""Text, QR codes and barcodes in images."""

from __future__ import annotations

from collections.abc import Iterable

from visprog.registry import tool
from visprog.values import Box, Region
from visprog.values.image import Image

from .imaging.barcodes import find_barcodes_in
from .imaging.qr_codes import find_codes


@tool(
    backends={
        "rapidocr": "visprog.tools.backends.rapidocr:TextReader",
        "florence2": "visprog.tools.backends.florence2:Florence2TextReader",
        "vlm": "visprog.tools.backends.vlm_readers:VlmTextReader",
    },
    default="rapidocr",
)
def read_text(image: Image | Region) -> str:
    """All text in an image or region in reading order, lines joined by newline; "" if there is none."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "rapidocr": "visprog.tools.backends.rapidocr:TextFinder",
        "florence2": "visprog.tools.backends.florence2:Florence2TextFinder",
    },
    default="rapidocr",
)
def find_text(image: Image, text: str = "") -> list[Region]:
    """Where text stands: one region per line, labelled with what it says, in reading order. With `text`, only
    where that is written (capitals, spaces and punctuation ignored), as the box of the words that match."""
    raise NotImplementedError  # a backend answers


@tool
def find_qr_codes(image: Image) -> list[Region]:
    """QR codes that can be read. Each region is labelled with the content of its code."""
    return _regions(image, find_codes(image))


@tool
def find_barcodes(image: Image) -> list[Region]:
    """Barcodes of products (EAN-13, EAN-8, UPC-A) that can be read. Each region is labelled with its number."""
    return _regions(image, find_barcodes_in(image))


def _regions(image: Image, codes: Iterable[tuple[str, Box]]) -> list[Region]:
    """Codes as regions from top to bottom, each once."""
    regions: list[Region] = []
    for content, box in codes:
        if not any(r.box.iou(box) > 0.5 or (r.label == content and r.overlaps(box)) for r in regions):
            regions.append(Region(box, content, 1.0, image.root))
    return sorted(regions, key=lambda r: (r.top, r.left))
