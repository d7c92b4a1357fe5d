"""Reading text with RapidOCR, whose models come with its wheel."""

from __future__ import annotations

import math
import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import answer_each
from visprog.values import Box, Region
from visprog.values.image import Image

from .ocr_engine import OcrEngine, Pixels, WholeRapidOcr, networks
from .text_lines import TextLine, Word, box_of, in_order, rows_of, without_parts
from .text_tiles import MAX_SIDE, find_lines

MIN_CONFIDENCE = 0.7
"""Confidence of the engine below which a line is dropped."""

LOW_HEIGHT, LOW_CONFIDENCE = 14, 0.9
"""Height of a line's box, in pixels, below which letters are guessed, and the least confidence there."""

ENGINE_SIDE = 736
"""Shorter side, in pixels, to which RapidOCR enlarges images."""

MAX_READ_PIXELS = 24_000_000
"""Number of pixels to which larger images are shrunk before they are read: it bounds time and memory."""

MIN_SIDE = 8
"""Shorter side, in pixels, below which an image cannot hold a letter that is read."""

RIM = 24
"""Pixels around an image, so that letters at its edge are read."""

_ENGINE_LOCK = threading.Lock()


class _RapidOcr:
    """RapidOCR with the models of its wheel.

    Args:
        model: Must be None; the models come with RapidOCR.
    """

    process = "native"

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError("the rapidocr backend takes no model: its models come with RapidOCR")

    def load(self) -> None:
        """Load the networks, before the first call."""
        with _ENGINE_LOCK:
            _engine().load()


class TextReader(_RapidOcr):
    """Text in reading order."""

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.read)

    def read(self, image: Image | Region) -> str:
        """The text of one image or region, lines joined by newline.

        Raises:
            ToolError: The region does not know its image.
        """
        return "\n".join(" ".join(line.text for line in row) for row in rows_of(read_lines(_part(image))))


def _part(image: Image | Region) -> Image:
    if isinstance(image, Image):
        return image
    if image.image is None:
        raise ToolError("this region does not know its image: call the tool with crop(image, region)")
    part: Image = image.image.crop(image)
    return part


class TextFinder(_RapidOcr):
    """Lines of text as regions."""

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.find)

    def find(self, image: Image, text: str) -> list[Region]:
        """The lines of one image in reading order; with a text, the boxes of the words that match it."""
        if not text:
            return text_regions(image)
        boxes = [(line, box_of(line, text)) for line in in_order(read_lines(image))]
        return [Region(box, line.text, line.score, image.root) for line, box in boxes if box is not None]


def text_regions(image: Image) -> list[Region]:
    """Every line of text as a region labelled with what it says, in reading order."""
    return [Region(line.box, line.text, line.score, image.root) for line in in_order(read_lines(image))]


def read_lines(image: Image) -> list[TextLine]:
    """Lines of text in the frame of the root, in no order."""
    import cv2

    if min(image.size) < MIN_SIDE:
        return []
    # scale
    bgr = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2BGR)
    scale = max(1.0, min(2.0, 960 / max(image.size)), min(4.0, 64 / min(image.size), 8000 / max(image.size)))
    scale = min(scale, math.sqrt(MAX_READ_PIXELS / (image.width * image.height)))
    if scale != 1:
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=method)
    # The engine enlarges a small cut-out until its letters are too large for it: put a frame around it instead.
    height, width = bgr.shape[:2]
    small = min(height, width) < ENGINE_SIDE / 2
    rim = np.array([max(RIM, (ENGINE_SIDE - side) // 2) if small else RIM for side in (width, height)])
    bgr = _framed(bgr, (rim[0], rim[1], rim[0], rim[1]))
    # read
    with _ENGINE_LOCK:
        engine = _engine()
        found = engine.read(bgr, _detect(engine, bgr))

    def place(corners: NDArray[np.float32]) -> Box:
        x, y = ((corners.astype(float) - rim) / scale).T
        box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        return image.to_root(box.clip(Box(0, 0, image.width, image.height)))

    # keep what is sure
    lines = []
    for line in found:
        box = place(line.quad)
        needed = LOW_CONFIDENCE if min(box.width, box.height) < LOW_HEIGHT else MIN_CONFIDENCE
        if line.score >= needed:
            words = tuple(Word(text, place(corners)) for text, corners in line.words)
            lines.append(TextLine(line.text.strip(), box, line.score, words))
    return without_parts(lines) if max(bgr.shape) > MAX_SIDE else lines


def _framed(pixels: Pixels, rim: tuple[int, int, int, int]) -> Pixels:
    """Pixels with a rim (left, top, right, bottom) in the colour of their edge."""
    import cv2

    left, top, right, bottom = rim
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = tuple(int(v) for v in np.median(edge, axis=0))
    framed: Pixels = cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=color)
    return framed


def _detect(engine: OcrEngine | WholeRapidOcr, pixels: Pixels) -> NDArray[np.float32]:
    """Corners (N, 4, 2) of the lines of an image of any size."""
    if max(pixels.shape[:2]) <= MAX_SIDE:
        return engine.detect(pixels)

    def detect(part: Pixels) -> NDArray[np.float32]:
        # A rim costs less than the enlargement of a narrow part.
        right, bottom = (max(0, ENGINE_SIDE - side) for side in (part.shape[1], part.shape[0]))
        return engine.detect(_framed(part, (0, 0, right, bottom)))

    return find_lines(pixels, detect)


@cache
def _engine() -> OcrEngine | WholeRapidOcr:
    folder = networks()
    return WholeRapidOcr() if folder is None else OcrEngine(folder)
