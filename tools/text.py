"""Read what is written in a picture."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import tool
from visprog.values import Box, Region
from visprog.values.image import Image

from .backends.qr_codes import read_codes
from .backends.text_tiles import MAX_SIDE, find_lines

LEAST_CONFIDENCE = 0.7

LOW_HEIGHT, LOW_CONFIDENCE = 14, 0.9
"""Height of a line's box, in pixels, below which letters are guessed, and the confidence that is asked for there."""

ENGINE_SIDE = 736
"""The shorter side, in pixels, that RapidOCR enlarges pictures to."""

MAX_READ_PIXELS = 24_000_000
"""Larger images are shrunk to this many pixels before they are read: it bounds time and memory."""

MIN_SIDE = 8
"""Shorter side, in pixels, below which an image cannot hold a letter that is read."""

CODE_SIDE = 21
"""Side, in pixels, of the smallest QR code: a pixel for each module."""

_ENGINE_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its place in the frame of the root."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text, and its words where the engine tells them apart."""

    text: str
    box: Box
    score: float
    words: tuple[Word, ...]


@tool
def read_text(image: Image | Region) -> str:
    """All text in an image or region in reading order, lines joined by newline; "" where there is none."""
    if isinstance(image, Region):
        image = picture_of(image)
    return "\n".join(" ".join(line.text for line in row) for row in rows_of(lines_in(image)))


@tool
def find_text(image: Image, text: str = "") -> list[Region]:
    """Where text stands: one region a line, labelled with what it says, in reading order. With `text`, only
    where that is written (capitals, spaces and punctuation ignored), as the box of the words that match."""
    if not text:
        return find_lines_of_text(image)
    found = []
    for line in _ordered(lines_in(image)):
        box = _match(line, text)
        if box is not None:
            found.append(Region(box, line.text, line.score, image.root))
    return found


@tool
def find_qr_codes(image: Image) -> list[Region]:
    """QR codes that can be read. Each region is labelled with the content of its code."""
    import cv2

    regions: list[Region] = []
    if min(image.size) < CODE_SIDE:
        return regions
    for scale in (1.0, 2.0) if max(image.size) <= 1000 else (1.0,):
        pixels = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
        # A code that fills the picture lacks the quiet rim that its finder patterns need.
        rim = 16
        pixels = cv2.copyMakeBorder(pixels, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
        if scale != 1:
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for content, points in read_codes(pixels):
            x, y = points.T / scale - rim
            box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
            box = image.to_root(box.clip(Box(0, 0, image.width, image.height)))
            if not any(r.box.iou(box) > 0.5 for r in regions):
                regions.append(Region(box, content, 1.0, image.root))
    return sorted(regions, key=lambda r: (r.top, r.left))


def find_lines_of_text(image: Image) -> list[Region]:
    """Every line of text as a region labelled with what it says, in reading order."""
    return [Region(line.box, line.text, line.score, image.root) for line in _ordered(lines_in(image))]


def picture_of(region: Region) -> Image:
    """The part of its image that a region covers.

    Raises:
        ToolError: the region does not know its image.
    """
    if region.image is None:
        raise ToolError("this region does not know its image: call the tool with crop(image, region)")
    part: Image = region.image.crop(region)
    return part


def lines_in(image: Image) -> list[TextLine]:
    """Lines of text in the frame of the root, in no order."""
    import cv2

    if min(image.size) < MIN_SIDE:
        return []
    bgr = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2BGR)
    scale = max(1.0, min(2.0, 960 / max(image.size)), min(4.0, 64 / min(image.size), 8000 / max(image.size)))
    scale = min(scale, math.sqrt(MAX_READ_PIXELS / (image.width * image.height)))
    if scale != 1:
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=method)
    # The engine enlarges a small cut-out until its letters are too large for it: put a frame around it instead.
    height, width = bgr.shape[:2]
    small = min(height, width) < ENGINE_SIDE / 2
    rim = np.array([max(24, (ENGINE_SIDE - side) // 2) if small else 24 for side in (width, height)])
    bgr = _framed(bgr, (rim[0], rim[1], rim[0], rim[1]))
    with _ENGINE_LOCK:
        result = _engine()(bgr, return_word_box=True)
    if result.txts is None:
        return []

    def place(points: Any) -> Box:
        x, y = ((np.asarray(points, float) - rim) / scale).T
        box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        return image.to_root(box.clip(Box(0, 0, image.width, image.height)))

    lines = []
    words_of = result.word_results or ()
    if len(words_of) != len(result.txts):  # the engine leaves out lines without words
        words_of = ((),) * len(result.txts)
    for text, score, points, words in zip(result.txts, result.scores, result.boxes, words_of, strict=True):
        box = place(points)
        needed = LOW_CONFIDENCE if min(box.width, box.height) < LOW_HEIGHT else LEAST_CONFIDENCE
        if text.strip() and score >= needed:
            parts = tuple(Word(w[0], place(w[2])) for w in words if w[0] and w[2] is not None)
            lines.append(TextLine(text.strip(), box, float(score), parts))
    return without_parts(lines) if max(bgr.shape) > MAX_SIDE else lines


def without_parts(lines: list[TextLine]) -> list[TextLine]:
    """Of lines that lie in another, either these or the other: what says more, by letters times score."""
    kept: list[TextLine] = []
    for line in sorted(lines, key=lambda each: each.box.area):
        parts = [k for k in kept if k.box.inside(line.box, 0.25)]
        if sum(_said(part) for part in parts) <= _said(line):
            kept = [k for k in kept if k not in parts] + [line]
    return kept


def _said(line: TextLine) -> float:
    return line.score * len(_plain(line.text))


def rows_of(lines: list[TextLine]) -> list[list[TextLine]]:
    """Reading order: pieces whose heights overlap by half stand in one row; rows from top to bottom, pieces
    from left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda each: each.box.center.y):
        row = rows[-1] if rows else []
        if row and _same_row(row, line):
            row.append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda each: each.box.left) for row in rows]


def _ordered(lines: list[TextLine]) -> list[TextLine]:
    return [line for row in rows_of(lines) for line in row]


def _same_row(row: list[TextLine], line: TextLine) -> bool:
    last = row[-1].box
    shared = min(last.bottom, line.box.bottom) - max(last.top, line.box.top)
    return shared > 0.5 * max(last.height, line.box.height) and all(
        min(piece.box.right, line.box.right) - max(piece.box.left, line.box.left)
        < 0.25 * min(piece.box.width, line.box.width)
        for piece in row
    )


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def _match(line: TextLine, text: str) -> Box | None:
    """Where a line says `text`: the box of the matching words, of the line where words are not told apart."""
    wanted = _plain(text)
    if not wanted:
        return line.box if text.strip() and text.strip() in line.text else None
    start = _plain(line.text).find(wanted)
    if start < 0:
        return None
    box, at = None, 0
    for word in line.words:
        end = at + len(_plain(word.text))
        if at < start + len(wanted) and end > start:
            box = word.box if box is None else box.union(word.box)
        at = end
    return line.box if box is None or at != len(_plain(line.text)) else box


def _framed(pixels: NDArray[np.uint8], rim: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Pixels with a rim, of so many at the left, top, right and bottom, in the colour of their edge."""
    import cv2

    left, top, right, bottom = rim
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = tuple(int(v) for v in np.median(edge, axis=0))
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(
        pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=color
    )
    return framed


class _AnySize:
    """RapidOCR's detector, for images of any size."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        self.postprocess_op = detector.postprocess_op  # the engine sets thresholds there

    def __call__(self, pixels: NDArray[np.uint8]) -> Any:
        if max(pixels.shape[:2]) <= MAX_SIDE:
            return self.detector(pixels)

        def detect(part: NDArray[np.uint8]) -> NDArray[np.float32]:
            # A rim costs less than the enlargement of a narrow part.
            right, bottom = (max(0, ENGINE_SIDE - side) for side in (part.shape[1], part.shape[0]))
            boxes = self.detector(_framed(part, (0, 0, right, bottom))).boxes
            return np.zeros((0, 4, 2), np.float32) if boxes is None else np.asarray(boxes, np.float32)

        nothing = self.detector(np.zeros((64, 64, 3), np.uint8))
        boxes = find_lines(pixels, detect)
        return replace(nothing, img=pixels, boxes=boxes, scores=[1.0] * len(boxes)) if len(boxes) else nothing


@cache
def _engine() -> Any:
    """RapidOCR with the models of its wheel, quiet, on two threads; it shrinks no image."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": MAX_READ_PIXELS,
            "Global.width_height_ratio": -1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 2,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    engine.text_det = _AnySize(engine.text_det or engine._load_det_model())
    return engine
