"""Scenes with boxes, and phrases such as "red circle" that name some of the objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visprog.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene, SceneObject, Scenes
from visprog.scenes.facts import Mention, facts_of, matches
from visprog.scenes.objects import is_held_out

from ..samples import Boxes
from ..source import BoxSource, SplitName


@dataclass(frozen=True)
class SceneBoxesConfig:
    """Keys of the source `scenes` for boxes.

    Attributes:
        scenes: number of scenes to train on.
        style: of the scenes, as in `Scenes`; null for the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
        queries: number of phrases per scene, half of which fit one of its objects.
    """

    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None
    queries: int = 8


class SceneBoxes(BoxSource):
    """Scenes, each with phrases for some of its objects and others that fit none."""

    Config: ClassVar[Any] = SceneBoxesConfig
    square = closed_vocabulary = True
    vocabulary: ClassVar[Mapping[str, Any]] = {
        "kinds": {"size": SIZES, "colour": COLORS, "texture": TEXTURES},
        "noun": "thing",
    }

    def split(self, name: SplitName, size: int) -> PhrasedScenes:
        return PhrasedScenes(self.config, name, size, self.config.scenes if name == "train" else 512)

    def texts(self) -> list[str]:
        """All words of the phrases."""
        return [" ".join((*COLORS, *SHAPES, *SIZES, *TEXTURES, "thing"))]


@dataclass(frozen=True, eq=False)
class SceneSample(Boxes):
    """A scene with boxes, which knows whether any phrase fits an object."""

    objects: tuple[SceneObject, ...] = ()

    def fits(self, phrase: str) -> NDArray[np.bool_]:
        mention = read_mention(phrase)
        return np.array([matches(o, mention) for o in self.objects], bool)


class PhrasedScenes:
    """The scenes of a split."""

    def __init__(self, config: SceneBoxesConfig, split: str, size: int, count: int) -> None:
        self.queries, self.count = config.queries, count
        self.scenes = Scenes(size, split=split, style=config.style, backgrounds=config.backgrounds)
        self.rare = split == "held_out"

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> SceneSample:
        """Half of the phrases are drawn from what the scene shows, the others at random."""
        scene = self.scenes[key]
        phrases: list[str] = []
        while len(phrases) < self.queries:
            phrase = some_phrase(scene, rng, shown=2 * len(phrases) < self.queries, rare=self.rare)
            if phrase not in phrases:
                phrases.append(phrase)
        labels = tuple(o.name for o in scene.objects)
        crowd = np.zeros(len(labels), bool)
        return SceneSample(
            scene.pixels, scene.boxes, labels, crowd, f"scene {key}", tuple(phrases), scene.objects
        )


@cache
def read_mention(phrase: str) -> Mention:
    """What a phrase of the language of scenes asks for."""
    facts = facts_of(phrase)
    if facts is None or len(facts.mentions) != 1:
        raise ValueError(f"'{phrase}' does not name one kind of object")
    return facts.mentions[0]


def some_phrase(scene: Scene, rng: np.random.Generator, *, shown: bool, rare: bool) -> str:
    """A phrase such as "red circle", "large striped star", "small blue thing" or "thing".

    Args:
        shown: it fits an object of the scene; otherwise it is drawn at random, and mostly fits none.
        rare: it may name a colour or texture and a shape that training never shows together.
    """
    chosen = scene.objects[int(rng.integers(len(scene.objects)))]
    size, color, texture, shape = chosen.size, chosen.color, chosen.texture, chosen.shape
    if not shown:
        # Each word is exchanged in half of these: near misses teach most.
        change = rng.random(4) < (0.3, 0.5, 0.4, 0.5)
        size = str(rng.choice(SIZES)) if change[0] else size
        color = str(rng.choice(COLORS)) if change[1] else color
        texture = str(rng.choice(TEXTURES)) if change[2] else texture
        shape = str(rng.choice(SHAPES)) if change[3] else shape
    named = rng.random(4) < (0.2, 0.75, 0.35, 0.85)
    mention = Mention(
        shape if named[3] else None,
        color if named[1] and scene.colored else None,
        size if named[0] else None,
        texture if named[2] and texture != "solid" else None,
    )
    if not rare and is_held_out(mention.shape, mention.color, mention.texture):
        mention = mention._replace(shape=None)
    return str(mention)
