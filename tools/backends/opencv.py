"""Backends on what comes with OpenCV: `detect` for people, faces, text, codes and drawn shapes, and GrabCut."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Near, Parsed, Sees
from visprog.values import Box, Located, Mask, Point, Region
from visprog.values.image import Image

from ..color import has_color
from ..imaging.grabcut import grabcut_mask
from ..imaging.inpainting import find_removed
from ..imaging.scaled import scaled
from ..imaging.suppression import suppress
from ..text import find_qr_codes
from ..words.drawn import Drawn, read_drawn
from ..words.meaning import finder_of, head_of, miswritten, near
from ..words.phrase import Phrase, read_phrase, read_yaml
from .cascades import load_cascade
from .drawings import find_drawn
from .rapidocr import text_regions
from .yunet import BestFaces

FACES = frozenset(("face", "human face", "persons face", "peoples face"))
PEOPLE = frozenset(
    ("person", "human", "human being", "pedestrian", "individual", "someone", "somebody", "anyone", "anybody")
)
TEXT = frozenset(("text", "word", "writing", "letter", "line of text", "text line", "inscription"))
CODES = frozenset(("qr code", "qr-code", "qrcode", "qr"))
EYES = frozenset(("eye", "human eye"))
SMILES = frozenset(("smile", "smiling face", "smiling mouth"))
NOUNS = FACES | PEOPLE | TEXT | CODES | EYES | SMILES
SUMMARY = (
    "people, faces, eyes, smiles, text, QR codes. In drawings also shapes: circle, triangle, square, rectangle, "
    'polygon (and its kinds), star, line, "object" or "shape" (any of them), "block" (square or rectangle), "dot", '
    '"box" or "panel", "tower" (blocks that stand on one another; "tower of three blocks"); before the noun a size '
    "(small, medium, large: among the shapes of the whole drawing), a form (round, square, triangular), a colour, a "
    "place (left, right, top, bottom: the half of the image; of a tower, its top or bottom block): "
    '"small black triangle". A colour may also stand before people and faces. It refuses all other nouns, and sees '
    "no other objects in photographs."
)
MAX_FILLED_PIXELS = 250_000
"""Number of pixels that `remove` fills one after another: larger places are filled in a smaller copy."""

FACE_SIDE = 160
"""Width, in pixels, to which a face is scaled before eyes and smiles are searched."""


def read_what(what: str) -> Phrase | Drawn:
    """The phrase, if its noun is one of `NOUNS` or names something drawn.

    Raises:
        Refused: OpenCV alone cannot see such objects; the message names what would.
    """
    phrase = read_phrase(what)
    drawn = read_drawn(phrase)
    if drawn is not None:
        return drawn
    if phrase.noun in NOUNS:
        return phrase
    if wrong := miswritten(what):
        raise Refused(wrong)
    nearest = nearest_what(what)
    hint = f" ({nearest})" if nearest else ""
    raise Refused(
        f"with OpenCV alone, detect cannot see '{phrase.whole}'{hint}, only people, faces, "
        'eyes, smiles, text, QR codes and drawn shapes: in a drawing, ask for the shape ("red octagon") or for what is '
        "written on it (find_text); for other objects run 'visprog models setup', or set backend = "
        '"owlv2" (any phrase), or "onnx" with a COCO model, under [tools.detect] in visprog.toml'
    )


def nearest_what(what: str) -> Near | None:
    """The phrase that OpenCV can see and that is nearest by meaning."""
    try:
        phrase = read_phrase(what)
    except ToolError:
        return None
    if miswritten(what):
        return None
    head = head_of(phrase.whole)
    if head != phrase.whole and _is_known(read_phrase(head)):
        return Near(head, "broader", phrase.whole)
    return near(phrase.noun, NOUNS | read_yaml("drawn")["nouns"].keys())


def _is_known(phrase: Phrase) -> bool:
    return read_drawn(phrase) is not None or phrase.noun in NOUNS


class OpenCVDetector:
    """What can be seen with OpenCV alone: people, faces, eyes, smiles, text, QR codes and drawn shapes.

    People are found by their faces, and by their upright figures if these are clear (histograms of oriented
    gradients, Dalal & Triggs 2005). The box of a person known by face alone is estimated from the proportions of a
    standing body.

    Args:
        model: Must be None; everything comes with OpenCV.
        figure: Lowest score of a figure, in units of the support vector machine.
    """

    process = "native"

    sees = Sees(SUMMARY, {"what": Parsed(read_what, nearest_what, finder_of)})

    def __init__(self, model: str | None = None, *, figure: float = 1.3) -> None:
        if model is not None:
            raise ToolError('the opencv backend of detect takes no model: for an ONNX file, backend = "onnx"')
        self.figure = figure
        self.faces = BestFaces()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.detect)

    def detect(self, image: Image, what: str) -> list[Region]:
        """The objects of one kind in one image.

        Raises:
            Refused: OpenCV alone cannot see such objects; the message names what would.
        """
        wanted = read_what(what)
        if isinstance(wanted, Drawn):
            return find_drawn(image, wanted)
        finders = (
            (FACES, self.faces.find), (PEOPLE, self._people), (EYES, self._eyes), (SMILES, self._smiles),
            (TEXT, text_regions), (CODES, find_qr_codes),
        )  # fmt: skip
        found: list[Region] = next(find for nouns, find in finders if wanted.noun in nouns)(image)
        return [r for r in found if has_color(r, wanted.color)] if wanted.color else found

    def _people(self, image: Image) -> list[Region]:
        faces = self.faces.find(image)
        figures = self._figures(image)
        boxes = [box for box, _ in figures]
        scores = [1 - float(np.exp(-score)) for _, score in figures]
        for face in faces:
            head = [b for b in boxes if face.inside(b) and face.center.y < b.top + b.height / 3]
            if not head:
                boxes.append(_body(face.box).clip(image.box))
                scores.append(face.score)
        kept = suppress(boxes, scores, ["person"] * len(boxes), same=0.5)
        return [Region(boxes[i], "person", scores[i], image.root) for i in kept]

    def _figures(self, image: Image) -> list[tuple[Box, float]]:
        """Upright figures in the frame of the root, with the support vector machine's score."""
        import cv2

        scale = min(2.0, 640 / max(image.size)) if max(image.size) < 640 else min(1.0, 960 / max(image.size))
        grey = scaled(cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY), scale)
        if grey.shape[0] < 128 or grey.shape[1] < 64:
            return []
        rects, weights = _hog().detectMultiScale(
            grey, hitThreshold=self.figure, winStride=(8, 8), padding=(16, 16), scale=1.05, groupThreshold=0
        )
        found, scores = [], [float(w) for w in np.ravel(weights)]
        for x, y, w, h in np.reshape(rects, (-1, 4)).tolist():
            # The window has a margin around the figure: an eighth at the sides, a sixteenth above and below.
            left, top = (x + w / 8) / scale, (y + h / 16) / scale
            box = Box(left, top, left + 0.75 * w / scale, top + 0.875 * h / scale)
            found.append(image.to_root(box.clip(Box(0, 0, image.width, image.height))))
        kept = suppress(found, scores, ["person"] * len(found), same=0.4, inside=0.7)
        return [(found[i], scores[i]) for i in kept if found[i].area > 0]

    def _eyes(self, image: Image) -> list[Region]:
        return [
            Region(eye, "eye", 1.0, image.root)
            for face in self.faces.find(image)
            for eye in _within(image, face, "eye", (0.0, 0.15, 1.0, 0.55), 6, 0.14)[:2]
        ]

    def _smiles(self, image: Image) -> list[Region]:
        return [
            Region(smile, "smile", 1.0, image.root)
            for face in self.faces.find(image)
            for smile in _within(image, face, "smile", (0.1, 0.55, 0.9, 1.05), 25, 0.3)[:1]
        ]


def _body(face: Box) -> Box:
    """The box of a standing person with this face: six and a half faces tall, two and a half wide."""
    x, size = face.center.x, face.width
    return Box(x - 1.25 * size, face.top - 0.2 * size, x + 1.25 * size, face.top + 6.3 * size)


def _within(
    image: Image,
    face: Region,
    cascade: str,
    part: tuple[float, float, float, float],
    min_neighbors: int,
    min_width: float,
) -> list[Box]:
    """Boxes that a cascade finds in a part of a face, in the frame of the root, the most confirmed first.

    Args:
        image: The image that the face lies in.
        face: The face.
        cascade: Name of the cascade.
        part: Left, top, right and bottom of the part, as shares of the face's box.
        min_neighbors: Number of windows that must agree.
        min_width: Least width, as a share of the face's.
    """
    import cv2

    x, y, w, h = face.left, face.top, face.width, face.height
    place = Box(x + part[0] * w, y + part[1] * h, x + part[2] * w, y + part[3] * h)
    crop = image.crop(place.clip(image.box))
    scale = FACE_SIDE / face.width
    grey = scaled(cv2.cvtColor(np.ascontiguousarray(crop.pixels), cv2.COLOR_RGB2GRAY), scale)
    least = int(min_width * FACE_SIDE)
    hits, counts = load_cascade(cascade).detectMultiScale2(
        grey, 1.05, min_neighbors, minSize=(least, least // 2)
    )
    boxes = [Box(x, y, x + w, y + h) for x, y, w, h in (np.reshape(hits, (-1, 4)) / scale).tolist()]
    kept = suppress(boxes, [float(c) for c in np.ravel(counts)], [cascade] * len(boxes), same=0.2, inside=0.5)
    return [crop.to_root(boxes[i]) for i in kept]


@cache
def _hog() -> Any:
    import cv2

    if not hasattr(cv2, "HOGDescriptor"):
        raise ToolError("OpenCV 5 has no people detector: pip install 'opencv-python-headless<5'")
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    return hog


class Inpainter:
    """What surrounds a region, continued into it along the edges that lead there (Telea 2004; or by the equations of a
    fluid, Bertalmio et al. 2001). Nothing is downloaded.

    Args:
        model: Must be None.
        method: "telea" or "navier-stokes".
        radius: Number of pixels around each pixel that it is filled from.
    """

    process = "native"

    def __init__(
        self,
        model: str | None = None,
        *,
        method: Literal["telea", "navier-stokes"] = "telea",
        radius: float = 5.0,
    ) -> None:
        if model is not None:
            raise ToolError('the opencv backend of remove takes no model: for one, set backend = "diffusers"')
        self.method, self.radius = method, radius

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.remove)

    def remove(self, image: Image, region: Located | list[Located]) -> Image:
        """The image with regions filled from around them.

        Raises:
            ToolError: There is no region, it lies outside the image, or nothing else is left.
        """
        import cv2

        hole = find_removed(image, region).pixels
        how = cv2.INPAINT_TELEA if self.method == "telea" else cv2.INPAINT_NS
        scale = min(1.0, math.sqrt(MAX_FILLED_PIXELS / np.count_nonzero(hole)))
        marks = scaled(hole.view(np.uint8) * np.uint8(255), scale)
        filled = cv2.inpaint(scaled(image.pixels, scale), marks, self.radius, how)
        if filled.shape != image.pixels.shape:
            filled = cv2.resize(filled, image.size, interpolation=cv2.INTER_LINEAR)
        return Image(np.where(hole[..., None], filled, image.pixels), image.alpha, image.name)


class GrabCut:
    """GrabCut (Rother, Kolmogorov & Blake 2004), started from what lies far from the outside of the box.

    If it degenerates, to nothing or to nearly everything, the box itself is the mask.

    Args:
        model: Must be None.
        iterations: Number of iterations of GrabCut.
    """

    process = "native"

    def __init__(self, model: str | None = None, *, iterations: int = 2) -> None:
        if model is not None:
            raise ToolError('the grabcut backend of segment takes no model: for SAM set backend = "sam"')
        self.iterations = iterations

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.segment)

    def segment(self, image: Image, region: Region | Point) -> Region:
        """The region with its mask, in the frame of the root.

        Raises:
            ToolError: The region lies outside the image.
            Refused: It is a point.
        """
        if isinstance(region, Point):
            raise Refused(
                "GrabCut needs a box around the object, not a point: under [tools.segment] in visprog.toml set "
                'backend = "sam" (after pip install \'visprog[hf]\'), or "embedded" for drawn shapes'
            )
        return replace(region, mask=self.mask(image, region), image=image.root)

    def mask(self, image: Image, place: Located) -> Mask:
        """The mask of the object in a box, in the frame of the root.

        Raises:
            ToolError: The box lies outside the image.
        """
        box = place.box.intersection(image.box)
        if box is None:
            raise ToolError(f"there is nothing to segment: {place.box} lies outside the image, {image.box}")
        return grabcut_mask(image, box, self.iterations)
