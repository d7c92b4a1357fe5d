"""Text and QR codes in images."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image

from .imaging.qr_codes import find_codes


@tool(
    backends={
        "rapidocr": "visprog.tools.backends.rapidocr:TextReader",
        "florence2": "visprog.tools.backends.florence2:Florence2TextReader",
        "vlm": "visprog.tools.backends.vlm:VlmTextReader",
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
    regions: list[Region] = []
    for content, box in find_codes(image):
        if not any(r.box.iou(box) > 0.5 for r in regions):
            regions.append(Region(box, content, 1.0, image.root))
    return sorted(regions, key=lambda r: (r.top, r.left))
