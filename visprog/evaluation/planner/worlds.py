"""Generated worlds, of which every object is known, and tools that answer about them without errors.

A program is judged by its answers in many worlds. They are generated with a seed from the words that the program
searches for, so that counts, places, colours and properties vary. Nothing is drawn; the tools answer from the list of
objects.
"""

from __future__ import annotations

import math
import random
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from ...errors import ToolError
from ...registry import default_registry
from ...values import Box, Circle, Grid, Line, Located, Mask, Point, Polygon, Region
from ...values.image import Image
from .asked_words import QuestionWords
from .made_scenes import SHAPES, SceneMaker, WorldImage, WorldObject, WorldScene, edges
from .wording import (
    StatementPart,
    Wanted,
    adjectives,
    basic_color,
    check_color,
    is_person,
    read_noun,
    read_statement,
    table,
)

TOOLS = (
    "detect", "find_faces", "find_qr_codes", "find_text", "find_circles", "find_polygons", "find_lines", "find_grid",
    "find_panels", "segment", "segment_everything", "dominant_color", "has_color", "verify", "match", "classify",
    "caption", "vqa", "read_text", "cupl_prompts", "blur_background", "color_pop", "cover", "tag",
    "generate", "replace", "remove", "retrieve", "select", "sharpness", "read_fields", "rotate",
)  # fmt: skip
_CROPS = ("crop", "crop_left_of", "crop_right_of", "crop_above", "crop_below", "crop_half")


class World:
    """Images with known contents, and the tools that answer about them.

    Args:
        words: Words that the programs search for.
        seed: Seed; the same seed makes the same world.
        images: Number of images.
    """

    def __init__(self, words: QuestionWords, seed: int, images: int = 1) -> None:
        self.words = words
        self.seed = seed
        self.adjectives = adjectives(words.statements)
        self.doubtful = False
        """Whether the right answer is open, as for "red or blue?" about a green object."""
        self.scenes = SceneMaker(words, random.Random(seed)).scenes(images)
        self.images = [scene.image for scene in self.scenes]
        self._by_name = {scene.image.name: scene for scene in self.scenes}
        self._groups = [g for options in words.choices if (g := _group(options))]

    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name, with the arguments of the real tools."""
        own = {name: getattr(self, name) for name in TOOLS}
        crops = {name: self._cropped(name) for name in _CROPS}
        return {**own, **crops}

    # -- finding -----------------------------------------------------------------------------------

    def detect(self, image: Image, what: str, tiles: int = 1) -> list[Region]:
        wanted = read_noun(what, self.adjectives)
        if wanted.noun == "text":
            return self.find_text(image)
        return [
            Region(t.box, t.label or wanted.noun, t.score, image.root)
            for t in self._seen(image)
            if t.is_a(wanted.noun) and self._answers_to(t, wanted, image)
        ]

    def find_faces(self, image: Image) -> list[Region]:
        return self.detect(image, "face")

    def find_qr_codes(self, image: Image) -> list[Region]:
        return self.detect(image, "qr code")

    def find_text(self, image: Image, text: str = "") -> list[Region]:
        wanted = _letters(text)
        seen = [t for t in self._scene(image).texts if _is_seen(t.box, image.box)]
        return [t for t in seen if wanted in _letters(t.label)]

    def find_circles(self, image: Image, color: str | None = None) -> list[Circle]:
        return self._drawn(image, Circle, "circle", color)

    def find_polygons(self, image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
        noun = read_noun(kind).noun
        if noun not in (*SHAPES, "polygon", "quadrilateral", "shape"):
            raise ToolError(f"'{kind}' is not a polygon")
        return self._drawn(image, Polygon, noun, color)

    def find_lines(self, image: Image, color: str | None = None) -> list[Line]:
        return self._drawn(image, Line, "line", color)

    def find_grid(self, image: Image) -> Grid:
        grid = self._scene(image).grid
        if grid is None:
            raise ToolError("there is no grid")
        return grid

    def find_panels(self, image: Image) -> list[Region]:
        third = image.width / 3
        return [
            Region(Box(image.box.left + i * third, image.box.top, image.box.left + (i + 1) * third, image.box.bottom),
                   "panel", 1.0, image.root)
            for i in range(3)
        ]  # fmt: skip

    def segment(self, image: Image, region: Region | Point) -> Region:
        box = region.box if isinstance(region, Region) else self._at(image, region)
        label = region.label if isinstance(region, Region) else ""
        return Region(box, label, 1.0, image.root, _mask(box))

    def segment_everything(self, image: Image) -> list[Region]:
        return [Region(t.box, "", t.score, image.root, _mask(t.box)) for t in self._seen(image)]

    # -- describing -----------------------------------------------------------------------------------

    def dominant_color(self, image: Any) -> str:
        obj, scene = self._meant(image)
        return scene.color if obj is None else obj.color

    def has_color(self, image: Any, color: str) -> bool:
        return self.dominant_color(image) == check_color(color)

    def verify(self, image: Image | Region, statement: str) -> bool:
        return any(all(self._holds(image, c) for c in claims) for claims in self._read(image, statement))

    def match(self, image: Image | Region, text: str) -> float:
        jitter = self._chance(image, frozenset(("match", *text.lower().split()))) / 10
        return (0.8 if self.verify(image, text) else 0.1) + jitter

    def classify(self, image: Image | Region, options: list[str]) -> str:
        if not options:
            raise ToolError("there is nothing to choose from")
        true = [o for o in options if self.verify(image, o)]
        if len(true) == 1:
            return true[0]
        self.doubtful = True
        return (true or options)[0]

    def caption(self, image: Image | Region) -> str:
        return f"caption {self._key(image)}"

    def vqa(self, image: Image | Region, question: str) -> str:
        return f"answer {self._key(image)} {' '.join(sorted(re.findall(r'[a-z0-9]+', question.lower())))}"

    def read_text(self, image: Image | Region) -> str:
        texts = [t for t in self._scene(_image_of(image)).texts if _is_seen(t.box, image.box)]
        return "\n".join(t.label for t in texts)

    def read_fields(self, image: Image) -> dict[str, str]:
        return {label: f"{label} {self._key(image)}" for label in ("Date", "Subtotal", "Tax", "Total")}

    def sharpness(self, image: Image | Region) -> float:
        """Of whole images, another one for each of up to four."""
        number = self.scenes.index(self._scene(_image_of(image).root))
        return 0.1 + 0.2 * ((number + self.seed) % 4)

    def cupl_prompts(self, category: str) -> list[str]:
        return [f"a photo of a {category}"]

    # -- editing -----------------------------------------------------------------------------------

    def blur_background(self, image: Image, keep: list[Located]) -> Image:
        return _edited(image, [("blur_background", _kept(keep))])

    def color_pop(self, image: Image, keep: list[Located]) -> Image:
        return _edited(image, [("color_pop", _kept(keep))])

    def cover(
        self,
        image: Image,
        regions: list[Located],
        style: Literal["box", "blur", "pixelate", "emoji"] | None = None,
        emoji: str | None = None,
    ) -> Image:
        style = style or ("box" if emoji is None else "emoji")
        face = _emoji(emoji or "smile") if style == "emoji" else ""
        return _edited(image, [("cover", style, face, edges(r.box)) for r in regions])

    def tag(self, image: Image, regions: list[Located], labels: list[str] | None = None) -> Image:
        if labels is not None and len(labels) != len(regions):
            raise ToolError(f"tag needs one label per region: it got {len(labels)} for {len(regions)}")
        return _edited(
            image, [("tag", edges(r.box), labels[i] if labels else "") for i, r in enumerate(regions)]
        )

    def rotate(self, image: Image, clockwise: float) -> Image:
        return _edited(image, [("rotate", clockwise % 360)])

    def generate(self, prompt: str, n: int = 1) -> list[Image]:
        return [_edited(self.images[0], [("generate", prompt, i)]) for i in range(n)]

    def replace(self, image: Image, region: Located | list[Located], prompt: str) -> Image:
        return _edited(image, [("replace", edges(r.box), prompt) for r in _listed(region)])

    def remove(self, image: Image, region: Located | list[Located]) -> Image:
        return _edited(image, [("remove", edges(r.box)) for r in _listed(region)])

    def retrieve(self, images: list[Image], text: str, k: int = 5) -> list[Image]:
        return sorted(images, key=lambda image: -self.match(image, text))[:k]

    def select(self, regions: list[Region], phrase: str) -> list[Region]:
        return [region for region in regions if self.verify(region, phrase)]

    def _cropped(self, name: str) -> Callable[..., Image]:
        cut = default_registry()[name].function

        def crop(image: Image, *arguments: Any, **more: Any) -> Image:
            part = cut(image, *arguments, **more)
            return WorldImage(part.pixels, None, part.name, part.parent, part.origin, _done(image))

        return crop

    # -- lookup -----------------------------------------------------------------------------

    def _scene(self, image: Image) -> WorldScene:
        return self._by_name[image.name]

    def _seen(self, image: Image) -> list[WorldObject]:
        """The objects of an image, highest score first; of a crop, those at least half in it, or that fill it."""
        objects = self._scene(image).objects
        return objects if image.parent is None else [t for t in objects if _is_seen(t.box, image.box)]

    def _drawn(self, image: Image, form: type, kind: str, color: str | None) -> list[Any]:
        wanted = None if color is None else check_color(color)
        found = [
            t
            for t in self._seen(image)
            if isinstance(t.value, form)
            and (wanted is None or t.color == wanted)
            and (kind in ("polygon", "shape") or kind in t.nouns)
        ]
        return [t.value for t in sorted(found, key=lambda t: t.box.center.x)]

    def _meant(self, place: Any) -> tuple[WorldObject | None, WorldScene]:
        """The object at a region or a crop; None for a whole image or an empty place."""
        image = _image_of(place)
        scene = self._scene(image)
        if isinstance(place, Image) and place.box == place.root.box:
            return None, scene
        found = scene.by_box.get(edges(place.box))
        if found is None:
            fits = [(t.box.iou(place.box), t.score, t) for t in scene.objects]
            share, _, near = max(fits, default=(0.0, 0.0, None), key=lambda f: f[:2])
            found = near if share > 0.5 else None
        return found, scene

    def _at(self, image: Image, point: Point) -> Box:
        around = [t.box for t in self._seen(image) if t.box.contains(point)]
        return min(
            around, key=lambda b: b.area, default=Box(point.x - 5, point.y - 5, point.x + 5, point.y + 5)
        )

    def _key(self, place: Any) -> str:
        obj, scene = self._meant(place)
        return str(scene.salt if obj is None else obj.salt)

    def _read(self, place: Any, statement: str) -> tuple[tuple[StatementPart, ...], ...]:
        obj, _ = self._meant(place)
        return read_statement(statement, min(obj.nouns) if obj else "")

    def _answers_to(self, obj: WorldObject, wanted: Wanted, image: Image) -> bool:
        if wanted.color and obj.color != wanted.color:
            return False
        region = Region(obj.box, "", 1.0, image.root)
        return all(self.verify(region, claim) for claim in wanted.claims)

    def _holds(self, place: Any, claim: StatementPart) -> bool:
        return self._is_true(place, claim.words) != claim.denied

    def _is_true(self, place: Any, words: frozenset[str]) -> bool:
        obj, scene = self._meant(place)
        colors = {c for w in words if (c := basic_color(w))}
        rest = " ".join(sorted(w for w in words if not basic_color(w)))
        if colors and not rest:
            return (obj.color if obj else scene.color) in colors
        if obj is not None and " " not in rest:
            noun = read_noun(rest).noun
            if is_person(noun) or obj.is_a(noun):
                return obj.is_a(noun) and (not colors or obj.color in colors)
            if noun in self.words.nouns:
                others = [t for t in scene.objects if t is not obj and t.is_a(noun)]
                return any(t.box.overlaps(obj.box) and (not colors or t.color in colors) for t in others)
        for group in self._groups:
            if words in group:
                return group[int(self._chance(place, frozenset().union(*group)) * len(group))] == words
        return self._chance(place, words) < _lean(self.seed, words)

    def _chance(self, place: Any, words: frozenset[str]) -> float:
        return _number(self._key(place), *sorted(words))


def _is_seen(box: Box, part: Box) -> bool:
    shared = box.intersection(part)
    return shared is not None and shared.area >= 0.5 * min(box.area, part.area)


def _group(options: Sequence[str]) -> tuple[frozenset[str], ...]:
    """Options of which exactly one holds, as the words of their claims; empty if they are opposites or colours."""
    claims = [read_statement(o) for o in options]
    if any(len(c) != 1 or len(c[0]) != 1 or c[0][0].denied for c in claims) or any(map(basic_color, options)):
        return ()
    words = tuple(c[0][0].words for c in claims)
    return tuple(sorted(words, key=sorted)) if len({*words}) == len(words) else ()


def _edited(image: Image, done: Iterable[tuple[Any, ...]]) -> WorldImage:
    return WorldImage(image.pixels, None, image.name, image.parent, image.origin, _done(image) | {*done})


def _emoji(name: str) -> str:
    plain = name.lower().removesuffix("emoji").strip().removesuffix("face").strip()
    found = next((k for k, others in table("emoji").items() if plain == k or plain in others), None)
    if found is None:
        raise ToolError(f"the emoji '{name}' is not known")
    return str(found)


def _done(image: Image) -> frozenset[tuple[Any, ...]]:
    return image.done if isinstance(image, WorldImage) else frozenset()


def _listed(region: Located | list[Located]) -> list[Located]:
    return region if isinstance(region, list) else [region]


def _kept(keep: Sequence[Located]) -> frozenset[tuple[float, ...]]:
    if not keep:
        raise ToolError("there is nothing to keep: nothing was found")
    return frozenset(edges(r.box) for r in keep)


def _image_of(place: Any) -> Image:
    image = place if isinstance(place, Image) else getattr(place, "image", None)
    if not isinstance(image, Image):
        raise ToolError("a bare box does not know its image")
    return image


def _mask(box: Box) -> Mask:
    return Mask(
        np.ones((1, 1), bool),
        Box(math.floor(box.left), math.floor(box.top), math.floor(box.left) + 1, math.floor(box.top) + 1),
    )


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


@cache
def _number(*parts: str) -> float:
    """A number from 0 to 1 that depends only on the parts."""
    return zlib.crc32("\0".join(parts).encode()) / 2**32


def _lean(seed: int, words: frozenset[str]) -> float:
    """Probability of a claim in a world: low, one half, or high."""
    return (0.15, 0.5, 0.9)[int(_number(str(seed), "lean", *sorted(words)) * 3)]
