"""Scenes with captions: single objects and whole images for classification, whole images for captioning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visprog.scenes import COLORS, SHAPES, TEXTURES, Scene, SceneObject, Scenes
from visprog.scenes.colors import palette
from visprog.scenes.objects import is_held_out
from visprog.scenes.unnamed_colors import with_unnamed_colors

from ..samples import DataError, Pair
from ..source import Classes, PairSource, SplitName

VOCABULARY_SCENES = 600
"""Number of scenes whose captions hold every word that a caption can have."""

FRAMES = (
    "a {}",
    "a {}",
    "a picture of a {}",
    "there is a {}",
    "the picture shows a {}",
    "a drawing with a {}",
)
NAMES = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
"""The classes of the zero-shot test; class i has colour i // 12 and shape i % 12."""

NO_COLOR, OPEN = -2, -1


@dataclass(frozen=True)
class SceneViewsConfig:
    """Keys of the source `scenes` for pairs.

    Attributes:
        scenes: number of scenes to train on.
        crops: share of samples that show one object cut out of a scene.
        styled: share of scenes in another style than the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
    """

    scenes: int = 1_000_000
    crops: float = 0.6
    styled: float = 0.2
    backgrounds: Path | None = None


class SceneViews(PairSource):
    """Crops of objects, images of one object and of several, each with a caption and a false one.

    Validation sorts single objects by colour and shape: half of the samples are crops, half images of one object;
    half have combinations that training never shows.
    """

    Config: ClassVar[Any] = SceneViewsConfig
    square = closed_vocabulary = has_false_captions = True
    vocabulary: ClassVar[Mapping[str, Any]] = {
        "kinds": {"texture": TEXTURES[1:], "colour": COLORS, "shape": SHAPES},
        "noun": "thing",
    }
    groups = ("crops", "pictures", "held_out_crops", "held_out_pictures")
    classes = Classes(
        tuple((f"a {name}",) for name in NAMES),
        {
            "color": tuple(i // len(SHAPES) for i in range(len(NAMES))),
            "shape": tuple(i % len(SHAPES) for i in range(len(NAMES))),
        },
    )

    def split(self, name: SplitName, size: int) -> TrainViews | TestViews:
        return TrainViews(self.config, size) if name == "train" else TestViews(size, 1024)

    def texts(self) -> Iterator[str]:
        """All words of the language of scenes."""
        scenes = Scenes(32, split="train")
        for i in range(VOCABULARY_SCENES):
            for level in ("plain", "full"):
                yield from scenes[i].captions(level)
        yield from (f"{name} {texture} thing something nothing" for name in NAMES for texture in TEXTURES)
        yield from (frame.replace("{}", "") for frame in FRAMES)


class TrainViews:
    """Views to train on."""

    def __init__(self, config: SceneViewsConfig, size: int) -> None:
        self.config = config
        self.scenes = {
            (style, most): Scenes(
                size, split="train", objects=(1, most), style=style, backgrounds=config.backgrounds
            )
            for style in (None, "mixed")
            for most in (1, 3, 5)
        }

    def __len__(self) -> int:
        return self.config.scenes

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """A crop of an object of a scene, an image of one object, or of up to three."""
        style = "mixed" if rng.random() < self.config.styled else None
        part = rng.random()
        if part < self.config.crops:
            return crop_view(self.scenes[style, 5][key], rng)
        return scene_view(self.scenes[style, 1 if part < (1 + self.config.crops) / 2 else 3][key], rng)


class TestViews:
    """Single objects to sort into `NAMES`."""

    __test__ = False  # pytest takes the name for a test's

    def __init__(self, size: int, count: int) -> None:
        self.count = count
        self.tests = [
            (Scenes(size, split=split, objects=(1, most)), most > 1)
            for split in ("val", "held_out")
            for most in (5, 1)
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """An object and its class."""
        which = key % len(self.tests)
        scenes, cut = self.tests[which]
        scene = scenes[key]
        rare = [i for i, o in enumerate(scene.objects) if o.held_out]
        i = int(rng.choice(rare or len(scene.objects)))
        shown = scene.objects[i]
        pixels = crop(scene, i, rng, 0.05, 0.05) if cut else scene.pixels
        label = COLORS.index(shown.color) * len(SHAPES) + SHAPES.index(shown.shape)
        facts = _facts(shown, scene)
        claim = (facts[0], OPEN, facts[2])
        return Pair(
            pixels, SceneViews.classes.texts[label], f"{key}", _false(claim, (facts,), rng), (facts,), claim, label,
            groups=(SceneViews.groups[which],),
        )  # fmt: skip


def crop(
    scene: Scene, index: int, rng: np.random.Generator, least: float = 0.0, most: float = 0.35
) -> NDArray[np.uint8]:
    """One object cut out of a scene that is drawn larger, with a margin of a share of its longer side."""
    wide = scene.at(int(rng.integers(1, 4)) * 64)
    left, top, right, bottom = wide.boxes[index]
    margins = rng.uniform(least, most, 4) * max(right - left, bottom - top)
    left, top = max(int(left - margins[0]), 0), max(int(top - margins[1]), 0)
    right, bottom = int(np.ceil(right + margins[2])), int(np.ceil(bottom + margins[3]))
    return wide.pixels[top:bottom, left:right]


def crop_view(scene: Scene, rng: np.random.Generator) -> Pair:
    """One object of a scene."""
    i = int(rng.integers(len(scene.objects)))
    return _single(scene, scene.objects[i], crop(scene, i, rng), rng)


def scene_view(scene: Scene, rng: np.random.Generator) -> Pair:
    """A whole scene, with a caption of it or of one of its objects."""
    if rng.random() < 0.5:
        return _single(scene, scene.objects[int(rng.integers(len(scene.objects)))], scene.pixels, rng)
    text = str(rng.choice(scene.captions("plain")))
    false = scene.negatives(text)
    facts = tuple(_facts(o, scene) for o in scene.objects)
    return Pair(scene.pixels, (text,), scene.key, false[0] if false else "", facts, (OPEN, OPEN, OPEN))


def _single(scene: Scene, shown: SceneObject, pixels: NDArray[np.uint8], rng: np.random.Generator) -> Pair:
    """A view whose caption is of one object."""
    whole = pixels is scene.pixels
    facts = _facts(shown, scene)
    colored, textured = facts[0] >= 0 and rng.random() < 0.85, facts[1] > 0 and rng.random() < 0.4
    shaped = not colored or rng.random() < 0.9
    claim = (facts[0] if colored else OPEN, facts[1] if textured else OPEN, facts[2] if shaped else OPEN)
    text = _framed(_phrase(claim), rng)
    visible = tuple(_facts(o, scene) for o in scene.objects) if whole else (facts,)
    return Pair(pixels, (text,), scene.key, _false(claim, visible, rng), visible, claim)


def _false(claim: tuple[int, ...], visible: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> str:
    """A caption with one word of a claim changed, not true of any object that the image shows; "" if there is none."""
    changed = int(rng.choice([k for k, value in enumerate(claim) if value >= 0]))
    others = [v for v in range(len((COLORS, TEXTURES, SHAPES)[changed])) if changed != 1 or v > 0]
    false = [(*claim[:changed], v, *claim[changed + 1 :]) for v in others]
    false = [f for f in false if not any(_holds(f, o) for o in visible) and not _is_rare(f)]
    return _framed(_phrase(false[int(rng.integers(len(false)))]), rng) if false else ""


def _facts(shown: SceneObject, scene: Scene) -> tuple[int, int, int]:
    """Colour, texture and shape as places in the vocabulary."""
    color = COLORS.index(shown.color) if scene.colored else NO_COLOR
    return color, TEXTURES.index(shown.texture), SHAPES.index(shown.shape)


def _holds(claim: tuple[int, ...], facts: tuple[int, ...]) -> bool:
    return all(c < 0 or c == f for c, f in zip(claim, facts, strict=True))


def _is_rare(claim: tuple[int, ...]) -> bool:
    """Whether it names a combination that training never shows."""
    color, texture, shape = (
        None if value < 0 else words[value]
        for words, value in zip((COLORS, TEXTURES, SHAPES), claim, strict=True)
    )
    return is_held_out(shape, color, texture)


def _phrase(claim: tuple[int, ...]) -> str:
    color, texture, shape = claim
    words = (
        TEXTURES[texture] if texture > 0 else "",
        COLORS[color] if color >= 0 else "",
        SHAPES[shape] if shape >= 0 else "thing",
    )
    return " ".join(word for word in words if word)


def _framed(phrase: str, rng: np.random.Generator) -> str:
    text = FRAMES[int(rng.integers(len(FRAMES)))].format(phrase)
    return text.replace("a " + phrase, ("an " if phrase[0] in "aeiou" else "a ") + phrase)


# -- whole scenes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SceneCaptionsConfig:
    """Keys of the source `scene-captions`.

    Attributes:
        scenes: number of scenes to train on.
        single: whether each image shows one large object without texture, on white or on black.
        style: of the scenes, as in `Scenes`; null for the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
        unnamed_colors: share of the objects to train on whose colours have no name; the style must be the normal one.
    """

    scenes: int = 1_000_000
    single: bool = False
    style: str | None = None
    backgrounds: Path | None = None
    unnamed_colors: float = 0.0


class SceneCaptions(PairSource):
    """Whole scenes with the plainest caption that names every object, from left to right.

    Validation captions are right if every fact in them is and nothing is left out: "facts" of scenes like those
    trained on, "held_out" of those with combinations that training never shows.

    Raises:
        DataError: unnamed colours in another style than the normal one.
    """

    Config: ClassVar[Any] = SceneCaptionsConfig
    square = closed_vocabulary = judges = has_false_captions = True
    groups = ("facts", "held_out")

    def __init__(self, config: SceneCaptionsConfig) -> None:
        super().__init__(config)
        if config.unnamed_colors and config.style not in (None, "normal"):
            raise DataError(f"data.unnamed_colors: the style must be normal, not '{config.style}'")

    def split(self, name: SplitName, size: int) -> CaptionedScenes:
        if name == "train":
            return CaptionedScenes(self, ("train",), size, self.config.scenes, self.config.unnamed_colors)
        return CaptionedScenes(self, ("val", "held_out"), size, 512)

    def is_right(self, key: int, caption: str) -> bool:
        return self.split("val", 32).scene(key).agrees(caption, complete=True)

    def texts(self) -> Iterator[str]:
        """All words of the captions."""
        scenes = Scenes(32, split="train")
        for i in range(VOCABULARY_SCENES):
            yield from scenes[i].captions("plain")


class CaptionedScenes:
    """Whole scenes of some splits in turn."""

    def __init__(
        self,
        source: SceneCaptions,
        splits: tuple[str, ...],
        size: int,
        count: int,
        unnamed_colors: float = 0.0,
    ) -> None:
        config = source.config
        self.count, self.unnamed_colors, self.single = count, unnamed_colors, config.single
        self.scenes = [
            Scenes(
                size,
                split=split,
                objects=(1, 1) if config.single else (1, 5),
                style=config.style,
                backgrounds=config.backgrounds,
            )
            for split in splits
        ]

    def __len__(self) -> int:
        return self.count

    def scene(self, key: int) -> Scene:
        """The scene of a sample."""
        scene = self.scenes[key % len(self.scenes)][key]
        return enlarged(scene) if self.single else scene

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """A scene and its caption."""
        scene = self.scene(key)
        if self.unnamed_colors:  # the colours, and with them the caption, change from visit to visit
            pixels, caption = with_unnamed_colors(scene, rng, self.unnamed_colors)
        else:
            pixels, caption = scene.pixels, scene.captions("plain")[0]
        false = [] if self.unnamed_colors else scene.negatives(caption)
        group = SceneCaptions.groups[key % len(self.scenes)]
        return Pair(
            pixels, (caption,), f"{key} {caption}", false[0] if false else "", key=key, groups=(group,)
        )


def enlarged(scene: Scene) -> Scene:
    """The first object of a scene by itself: large, near the middle, without texture, on white, or on black if it is
    light."""
    first = scene.objects[0]
    shown = replace(
        first,
        size="large",
        texture="solid",
        radius=0.3,
        x=0.5 + 0.3 * (first.x - 0.5),
        y=0.5 + 0.3 * (first.y - 0.5),
    )
    light = float(palette().of(shown) @ np.array([0.299, 0.587, 0.114], np.float32)) > 140
    color = np.full(3, 30 if light else 225, np.float32)
    plain = replace(
        scene.background, kind="plain", colors=(color, color), strokes=(), light=(1.0,) * 4, noise=8.0
    )
    return replace(scene, objects=(shown,), background=plain)
