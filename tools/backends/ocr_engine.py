"""The steps of PP-OCR with the networks of RapidOCR's wheel: detect lines, turn them upright, read them, place words.

RapidOCR itself takes longer to import (its configuration, downloads, drawing) than to read a sign. This does what it
does with its default settings (Du et al., PP-OCR, 2020; Liao et al., DB, AAAI 2020), and loads a network when it is
first needed: without a line of text, only the detector.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An image (height, width, 3), channels in the order of OpenCV: blue, green, red."""
Quad = NDArray[np.float32]
"""Corners (4, 2) of a line or word, x and y in pixels, clockwise from the top left."""

NETWORKS = ("PP-OCRv6_det_small.onnx", "ch_ppocr_mobile_v2.0_cls_mobile.onnx", "PP-OCRv6_rec_small.onnx")
"""Files of the networks that these steps belong to: detector, classifier of the direction, recognizer."""

MIN_DETECTOR_SIDE = 736
"""Shorter side, in pixels, to which the detector enlarges an image."""
MIN_PIXEL = 0.3
"""Probability above which a pixel belongs to a line."""
MIN_LINE = 0.5
"""Mean probability of the pixels in the rectangle of a line, below which it is none."""
MAX_LINES = 1000
UNCLIP = 1.6
"""Growth of a line, which the detector finds shrunk: the distance is this times area over perimeter."""
ROW_STEP = 10
"""Difference in height, in pixels, from which a line belongs to the next row."""

LINE_HEIGHT, CLASSIFIER_WIDTH, MIN_WIDTH = 48, 192, 320
"""Size of the input of the classifier, and height and least width of the input of the recognizer, in pixels."""
UPSIDE_DOWN = 0.9
"""Probability above which a line is turned by 180 degrees."""
SHORT, MIN_VOTES, MAJORITY = 4.0, 4, 2 / 3
"""Width over height of a line below which the classifier errs ("0.99" is "66.0" upside down), and the number of lines
of an image, and the share of them, from which such a line is turned as the others are."""
BATCH = 6
TALL = 1.5
"""Height over width from which a line is read from top to bottom."""
MAX_GAP = 5
"""Number of columns of the recognizer between two letters of one word."""

_NORMALIZED = ((np.arange(256) / 255 - 0.5) / 0.5).astype(np.float32)


@dataclass(frozen=True)
class ReadLine:
    """A line of text, its confidence and corners, and its words with theirs."""

    text: str
    score: float
    quad: Quad
    words: tuple[tuple[str, Quad], ...]


def networks() -> Path | None:
    """Folder of the networks; None if RapidOCR is not installed, or holds others."""
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec is not None and spec.origin else None
    return folder if folder is not None and all((folder / name).is_file() for name in NETWORKS) else None


class OcrEngine:
    """Detector, classifier and recognizer. Not for use by several threads at once.

    Args:
        folder: Folder of the networks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> None:
        """Load all networks now, the detector first."""
        _ = self._detector, self._recognizer, self._classifier

    def detect(self, pixels: Pixels) -> NDArray[np.float32]:
        """Corners (N, 4, 2) of the lines of an image, in rows from top to bottom."""
        import cv2

        height, width = pixels.shape[:2]
        enlarged = max(1.0, MIN_DETECTOR_SIDE / min(height, width))
        size = [round(int(side * enlarged) / 32) * 32 for side in (width, height)]
        if min(size) == 0:
            return np.zeros((0, 4, 2), np.float32)
        batch = _NORMALIZED[cv2.resize(pixels, size)].transpose(2, 0, 1)[None]
        probability = _run(self._detector, batch)[0, 0]  # (height, width)
        mask = cv2.dilate((probability > MIN_PIXEL).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(mask * 255, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found = (_line(contour, probability, width, height) for contour in contours[:MAX_LINES])
        quads = [quad for quad in found if quad is not None]
        return _in_rows(np.array(quads)) if quads else np.zeros((0, 4, 2), np.float32)

    def read(self, pixels: Pixels, quads: NDArray[np.float32]) -> list[ReadLine]:
        """The texts of the lines with these corners; those without a letter are left out."""
        import cv2

        if not len(quads):
            return []
        cuts = [_cut(pixels, quad) for quad in quads]
        sizes = [cut.shape[1::-1] for cut in cuts]
        for row in np.flatnonzero(self._upside_down(cuts)).tolist():
            cuts[row] = cv2.rotate(cuts[row], cv2.ROTATE_180)
        lines: dict[int, ReadLine] = {}
        for rows in _batches(cuts):
            aspects = [cuts[row].shape[1] / cuts[row].shape[0] for row in rows]
            widest = max(MIN_WIDTH / LINE_HEIGHT, *aspects)
            scores = _run(
                self._recognizer, _batch(cuts, rows, int(LINE_HEIGHT * widest))
            )  # (batch, columns, C)
            for row, aspect, columns in zip(rows, aspects, scores, strict=True):
                line = self._decoded(columns, aspect / widest, sizes[row], quads[row])
                if line is not None:
                    lines[row] = line
        return [lines[row] for row in sorted(lines)]

    def _upside_down(self, cuts: list[Pixels]) -> NDArray[np.bool_]:
        """Whether each line (N,) is upside down."""
        turned = np.zeros(len(cuts), bool)
        for rows in _batches(cuts):
            probabilities = _run(self._classifier, _batch(cuts, rows, CLASSIFIER_WIDTH))  # (batch, 2)
            turned[list(rows)] = probabilities[:, 1] > UPSIDE_DOWN
        share = float(turned.mean())
        if len(cuts) >= MIN_VOTES and max(share, 1 - share) >= MAJORITY:
            turned[[cut.shape[1] < SHORT * cut.shape[0] for cut in cuts]] = share > 0.5
        return turned

    def _decoded(
        self, columns: NDArray[np.float32], filled: float, size: tuple[int, ...], quad: Quad
    ) -> ReadLine | None:
        """A line from the probabilities (columns, characters) of the recognizer, as CTC decodes them."""
        best = columns.argmax(1)
        taken = (best != 0) & np.concatenate([[True], best[1:] != best[:-1]])  # 0 is the blank
        at = np.flatnonzero(taken)
        text = "".join(self._characters[i] for i in best[at])
        if not text.strip():
            return None
        confidence = [round(float(p), 5) for p in columns.max(1)[at]]
        words = _words(text, [int(column) for column in at], len(best) * filled, size)
        return ReadLine(text, round(float(np.mean(confidence)), 5), quad, _placed(words, quad))

    @cached_property
    def _detector(self) -> Any:
        return _session(self.folder / NETWORKS[0])

    @cached_property
    def _classifier(self) -> Any:
        return _session(self.folder / NETWORKS[1])

    @cached_property
    def _recognizer(self) -> Any:
        return _session(self.folder / NETWORKS[2])

    @cached_property
    def _characters(self) -> list[str]:
        return ["", *self._recognizer.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]


class WholeRapidOcr:
    """RapidOCR itself, quiet, on two threads, for releases with other networks; it shrinks no image."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        self.engine = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.max_side_len": 1 << 30,
                "Global.width_height_ratio": -1,
                "EngineConfig.onnxruntime.intra_op_num_threads": 2,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        self.detector = self.engine.text_det or self.engine._load_det_model()

    def load(self) -> None:
        """As `OcrEngine.load`: it is loaded."""

    def detect(self, pixels: Pixels) -> NDArray[np.float32]:
        """As `OcrEngine.detect`."""
        boxes = self.detector(pixels).boxes
        return np.zeros((0, 4, 2), np.float32) if boxes is None else np.asarray(boxes, np.float32)

    def read(self, pixels: Pixels, quads: NDArray[np.float32]) -> list[ReadLine]:
        """As `OcrEngine.read`."""
        if not len(quads):
            return []
        found = self.detector(np.zeros((64, 64, 3), np.uint8))  # nothing
        found = replace(found, img=pixels, boxes=quads, scores=[1.0] * len(quads))
        self.engine.text_det = _Given(found, self.detector.postprocess_op)
        result = self.engine(pixels, return_word_box=True)
        if result.txts is None:
            return []
        words_of = result.word_results or ()
        if len(words_of) != len(result.txts):  # the engine leaves out lines without words
            words_of = ((),) * len(result.txts)
        return [
            ReadLine(text, float(score), np.asarray(quad, np.float32), _whole_words(words))
            for text, score, quad, words in zip(
                result.txts, result.scores, result.boxes, words_of, strict=True
            )
            if text.strip()
        ]


@dataclass(frozen=True)
class _Given:
    """A detector of RapidOCR whose result is known."""

    found: Any
    postprocess_op: Any  # where the engine sets thresholds

    def __call__(self, pixels: Pixels) -> Any:
        return self.found


def _whole_words(words: Any) -> tuple[tuple[str, Quad], ...]:
    return tuple((w[0], np.asarray(w[2], np.float32)) for w in words if w[0] and w[2] is not None)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = min(2, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return output


def _rectangle(points: NDArray[Any]) -> tuple[Quad, float]:
    """The least rectangle around points, clockwise from the top left, and its shorter side."""
    import cv2

    found = cv2.minAreaRect(points)
    by_x = sorted(cv2.boxPoints(found), key=lambda point: float(point[0]))
    left, right = (sorted(pair, key=lambda point: float(point[1])) for pair in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]]), min(found[1])


def _line(contour: Any, probability: NDArray[np.float32], width: int, height: int) -> Quad | None:
    """Corners of a line in an image of width x height, from its contour in the map of probabilities."""
    import cv2
    import pyclipper

    corners, side = _rectangle(contour)
    if side < 3:
        return None
    # The mean probability in the rectangle
    rows, columns = probability.shape
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, (columns - 1, rows - 1))
    high = np.clip(np.ceil(corners.max(0)).astype(int), 0, (columns - 1, rows - 1))
    inside = np.zeros((high - low + 1)[::-1], np.uint8)
    cv2.fillPoly(inside, (corners - low.astype(np.float32)).astype(np.int32)[None], 1)
    if cv2.mean(probability[low[1] : high[1] + 1, low[0] : high[0] + 1], inside)[0] < MIN_LINE:
        return None
    # The line, grown to its letters
    x, y = corners.T.astype(float)
    area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    perimeter = float(np.hypot(x - np.roll(x, -1), y - np.roll(y, -1)).sum())
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(corners, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    grown = offset.Execute(area * UNCLIP / perimeter)
    if not grown:
        return None
    corners, side = _rectangle(np.array(grown[0], np.int32)[:, None])
    if side < 5:
        return None
    scaled = np.round(corners / (columns, rows) * (width, height)).clip(0, (width, height)).astype(np.int32)
    quad = _clockwise(scaled.astype(np.float32)).clip(0, (width - 1, height - 1)).astype(np.float32)
    sides = (int(np.linalg.norm(quad[0] - quad[1])), int(np.linalg.norm(quad[0] - quad[3])))
    return quad if min(sides) > 3 else None


def _clockwise(points: Quad) -> Quad:
    """Corners from the top left."""
    by_x = points[np.argsort(points[:, 0], kind="stable")]
    left, right = (pair[np.argsort(pair[:, 1], kind="stable")] for pair in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def _in_rows(quads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lines in rows from top to bottom, each from left to right."""
    ordered: NDArray[np.float32] = quads[np.argsort(quads[:, 0, 1], kind="stable")]
    rows = np.concatenate([[0], np.cumsum(np.diff(ordered[:, 0, 1]) >= ROW_STEP)])
    return ordered[np.lexsort((ordered[:, 0, 0], rows))]


def _cut(pixels: Pixels, quad: Quad) -> Pixels:
    """The line upright; one that is much higher than wide is turned to the left."""
    import cv2

    def longer(*pairs: tuple[int, int]) -> int:
        return int(max(np.linalg.norm(quad[a] - quad[b]) for a, b in pairs))

    width, height = longer((0, 1), (2, 3)), longer((0, 3), (1, 2))
    upright = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    cut = cv2.warpPerspective(
        pixels,
        cv2.getPerspectiveTransform(quad, upright),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_CUBIC,
    )
    return np.rot90(cut) if height / width >= TALL else cut


def _batches(cuts: Sequence[Pixels]) -> list[list[int]]:
    """Numbers of the lines, those of similar aspect together."""
    order = np.argsort([cut.shape[1] / cut.shape[0] for cut in cuts]).tolist()
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def _batch(cuts: Sequence[Pixels], rows: Sequence[int], width: int) -> NDArray[np.float32]:
    """Lines as a batch (N, 3, LINE_HEIGHT, width), with zeros to the right."""
    import cv2

    batch = np.zeros((len(rows), 3, LINE_HEIGHT, width), np.float32)
    for place, row in enumerate(rows):
        height, length = cuts[row].shape[:2]
        own = min(math.ceil(LINE_HEIGHT * (length / height)), width)
        batch[place, :, :, :own] = _NORMALIZED[cv2.resize(cuts[row], (own, LINE_HEIGHT))].transpose(2, 0, 1)
    return batch


def _is_cjk(character: str) -> bool:
    return (
        "\u4e00" <= character <= "\u9fff"
        or "\u3000" <= character <= "\u303f"
        or "\uff00" <= character <= "\uffef"
    )


def _words(
    text: str, columns: Sequence[int], length: float, size: tuple[int, ...]
) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Words of a line, each with its left, top, right and bottom in the upright line.

    Chinese characters, and every character of a line that holds one, stand for themselves.

    Args:
        text: Text of the line.
        columns: Column of the recognizer per character.
        length: Number of columns of the line.
        size: Width and height of the upright line.
    """
    words: list[tuple[str, list[int]]] = []
    previous, word, cjk = None, False, None
    for character, column in zip(text, columns, strict=True):
        if character.isspace():
            word = False
        else:
            kind = _is_cjk(character)
            cjk = kind if cjk is None else cjk
            gap = column - previous if previous is not None else min(3 if _is_cjk(text[0]) else 2, column)
            if word and kind == cjk and gap <= MAX_GAP:
                words[-1] = (words[-1][0] + character, [*words[-1][1], column])
            else:
                words.append((character, [column]))
            if kind != cjk or gap > MAX_GAP:
                cjk = kind
            word = True
        previous = column
    step = size[0] / length
    widths = [(at[-1] - at[0]) * step / (len(at) - 1) for _, at in words if len(at) > 1]
    letter = sum(widths) / len(widths) if widths else size[0] / len(text)
    if any(map(_is_cjk, text)):
        words = [(c, [at]) for word_text, all_at in words for c, at in zip(word_text, all_at, strict=True)]
    boxes = []
    for _, at in words:
        centers = [(column + 0.5) * step for column in (at[0], at[-1])]
        left, right = max(int(centers[0] - letter / 2), 0), min(int(centers[1] + letter / 2), size[0])
        boxes.append([float(left), 0.0, float(right), float(size[1])])
    for one, other in itertools.pairwise(boxes):  # which overlap share the overlap
        overlap = one[2] - other[0]
        if overlap > 0:
            one[2] -= overlap / 2
            other[0] += overlap / 2
    return [(word_text, (b[0], b[1], b[2], b[3])) for (word_text, _), b in zip(words, boxes, strict=True)]


def _placed(
    words: Sequence[tuple[str, tuple[float, float, float, float]]], quad: Quad
) -> tuple[tuple[str, Quad], ...]:
    """Words with their corners in the image."""
    import cv2

    width, height = (int(np.linalg.norm(quad[0] - quad[i])) for i in (1, 3))
    origin = quad.min(0).astype(int)
    upright = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    back = cv2.invert(cv2.getPerspectiveTransform(quad - origin.astype(np.float32), upright))[1]
    edges = [float(np.linalg.norm(quad[i] - quad[(i + 1) % 4])) for i in range(4)]
    is_tall = round(max(edges[1], edges[3]) / max(edges[0], edges[2]), 2) >= TALL
    placed = []
    for text, (left, top, right, bottom) in words:
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        if is_tall:  # it was turned to the left
            corners = np.stack([width - corners[:, 1], corners[:, 0]], 1)
        x, y, scale = back @ np.concatenate([corners, np.ones((4, 1))], 1).T
        placed.append((text, (np.stack([x / scale, y / scale], 1) + origin).astype(int).astype(np.float32)))
    return tuple(placed)
