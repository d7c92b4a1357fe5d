"""Find things of a kind: the `detect` tool, and its backend that needs nothing downloaded."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.registry.sees import Near, Parsed, Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from .backends._each import answer_each
from .backends._overlap import suppress
from .backends.drawings import Drawn, find_drawn, read_drawn
from .faces import BestFaces, load_cascade
from .imaging.scaled import scaled
from .words.meaning import finder_of, head_of, miswritten, near
from .words.phrase import Phrase, read_phrase, read_yaml

FACES = frozenset(("face", "human face", "persons face", "peoples face"))
PEOPLE = frozenset(
    ("person", "human", "human being", "pedestrian", "individual", "someone", "somebody", "anyone", "anybody")
)
TEXT = frozenset(("text", "word", "writing", "letter", "line of text", "text line", "inscription"))
CODES = frozenset(("qr code", "qr-code", "qrcode", "qr"))
EYES = frozenset(("eye", "human eye"))
SMILES = frozenset(("smile", "smiling face", "smiling mouth"))
FINDABLE = FACES | PEOPLE | TEXT | CODES | EYES | SMILES
SUMMARY = (
    "people, faces, eyes, smiles, text, QR codes. In drawings also shapes: circle, triangle, square, rectangle, "
    'polygon (and its kinds), star, line, "object" or "shape" (any of them), "block" (square or rectangle), "dot", '
    '"box" or "panel", "tower" (blocks that stand on one another; "tower of three blocks"); before the noun a size '
    "(small, medium, large: among the shapes of the whole drawing), a form (round, square, triangular), a colour, a "
    "place (left, right, top, bottom: the half of the image; of a tower, its top or bottom block): "
    '"small black triangle". A colour may also stand before people and faces. It refuses all other nouns, and sees '
    "no other objects in photographs."
)


@tool(
    backends={
        "opencv": "visprog.tools.detect:OpenCVDetector",
        "embedded": "visprog.tools.backends.owl:EmbeddedDetector",
        "onnx": "visprog.tools.backends.onnx:OnnxDetector",
        "owlv2": "visprog.tools.backends.owl:OwlDetector",
        "grounding-dino": "visprog.tools.backends.grounding_dino:GroundingDinoDetector",
    },
    default="opencv",
)
def detect(image: Image, what: str) -> list[Region]:
    """All things in the image that a noun phrase names, such as "dogs" or "red car", most certain first."""
    raise NotImplementedError  # a backend answers


def read_what(what: str) -> Phrase | Drawn:
    """What OpenCV is to look for: one of `FINDABLE`, or something drawn.

    Raises:
        Refused: OpenCV alone cannot see such things; the message names what would.
    """
    phrase = read_phrase(what)
    drawn = read_drawn(phrase)
    if drawn is not None:
        return drawn
    if phrase.noun in FINDABLE:
        return phrase
    if wrong := miswritten(what):
        raise Refused(wrong)
    near = near_what(what)
    raise Refused(
        f"with OpenCV alone, detect cannot see '{phrase.whole}'{f' ({near})' if near else ''}, only people, faces, "
        'eyes, smiles, text, QR codes and drawn shapes: in a drawing, ask for the shape ("red octagon") or for what is '
        'written on it (find_text); for other objects set backend = "owlv2" (any phrase), or "onnx" with a COCO model, '
        "under [tools.detect] in visprog.toml"
    )


def near_what(what: str) -> Near | None:
    """What OpenCV can see and is nearest by meaning."""
    try:
        phrase = read_phrase(what)
    except ToolError:
        return None
    if miswritten(what):
        return None
    head = head_of(phrase.whole)
    if head != phrase.whole and _can_find(read_phrase(head)):
        return Near(head, "broader", phrase.whole)
    return near(phrase.noun, FINDABLE | read_yaml("drawn")["nouns"].keys())


def _can_find(phrase: Phrase) -> bool:
    return read_drawn(phrase) is not None or phrase.noun in FINDABLE


class OpenCVDetector:
    """What can be seen with OpenCV alone: people, faces, eyes, smiles, text, QR codes and drawn shapes.

    People are found by their faces, and by their upright figures where these are clear (histograms of
    oriented gradients, Dalal & Triggs, 2005). The box of a person known by face alone is estimated from the
    proportions of a standing body.

    Args:
        model: must be None; everything comes with OpenCV.
        figure: lowest score of a figure, in units of the support vector machine.
    """

    sees = Sees(SUMMARY, {"what": Parsed(read_what, near_what, finder_of)})

    def __init__(self, model: str | None = None, *, figure: float = 1.3) -> None:
        if model is not None:
            raise ToolError('the opencv backend of detect takes no model: for an ONNX file, backend = "onnx"')
        self.figure = figure
        self.faces = BestFaces()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.detect)

    def detect(self, image: Image, what: str) -> list[Region]:
        """The things of one kind in one image.

        Raises:
            Refused: OpenCV alone cannot see such things; the message names what would.
        """
        asked = read_what(what)
        if isinstance(asked, Drawn):
            return find_drawn(image, asked)
        finders = (
            (FACES, self.faces.find), (PEOPLE, self._people), (EYES, self._eyes), (SMILES, self._smiles),
            (TEXT, _text), (CODES, _codes),
        )  # fmt: skip
        found = next(find for nouns, find in finders if asked.noun in nouns)(image)
        if asked.color:
            from .color import has_color

            found = [r for r in found if has_color(r, asked.color)]
        return found

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
    neighbours: int,
    smallest: float,
) -> list[Box]:
    """What a cascade finds in a part of a face, in the frame of the root, the most confirmed first.

    Args:
        part: left, top, right and bottom as shares of the face's box.
        neighbours: windows that must agree.
        smallest: least width, as a share of the face's.
    """
    import cv2

    x, y, w, h = face.left, face.top, face.width, face.height
    place = Box(x + part[0] * w, y + part[1] * h, x + part[2] * w, y + part[3] * h)
    crop = image.crop(place.clip(image.box))
    scale = 160 / face.width
    grey = scaled(cv2.cvtColor(np.ascontiguousarray(crop.pixels), cv2.COLOR_RGB2GRAY), scale)
    least = int(smallest * 160)
    hits, counts = load_cascade(cascade).detectMultiScale2(
        grey, 1.05, neighbours, minSize=(least, least // 2)
    )
    boxes = [Box(x, y, x + w, y + h) for x, y, w, h in (np.reshape(hits, (-1, 4)) / scale).tolist()]
    kept = suppress(boxes, [float(c) for c in np.ravel(counts)], [cascade] * len(boxes), same=0.2, inside=0.5)
    return [crop.to_root(boxes[i]) for i in kept]


def _text(image: Image) -> list[Region]:
    from .text import find_lines_of_text

    return find_lines_of_text(image)


def _codes(image: Image) -> list[Region]:
    from .text import find_qr_codes

    found: list[Region] = find_qr_codes(image)
    return found


@cache
def _hog() -> Any:
    import cv2

    if not hasattr(cv2, "HOGDescriptor"):
        raise ToolError("OpenCV 5 has no people detector: pip install 'opencv-python-headless<5'")
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    return hog
