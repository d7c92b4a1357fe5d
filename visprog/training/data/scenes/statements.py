"""Scenes with statements that are true of them, and statements that differ in a word or two and are not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visprog.scenes import COLORS, SHAPES, SIZES, Scene, Scenes
from visprog.scenes.facts import NUMBERS, RELATION_PHRASES, Mention, matches, plural, with_article
from visprog.scenes.language import FRAMES, phrase

from ..samples import Pair
from ..source import PairSource, SplitName

RELATED = ("there is {a} {how} {b}", "{a} is {how} {b}", "{a} {how} {b}", "the {one} is {how} the {other}")
"""Ways to say how two objects lie."""


@dataclass(frozen=True)
class SceneStatementsConfig:
    """Keys of the source `scene-statements`.

    Attributes:
        scenes: number of scenes to train on.
        related: share of statements of how two objects lie.
        listed: share of statements that name all objects; the others name one.
        style: of the scenes, as in `Scenes`; null for the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
    """

    scenes: int = 100_000
    related: float = 0.4
    listed: float = 0.2
    style: str | None = None
    backgrounds: Path | None = None


class SceneStatements(PairSource):
    """Scenes with true and false statements of sizes, colours, shapes, numbers and directions; not of textures, which
    the bundled detector hardly sees. Every second scene to validate by is held out."""

    Config: ClassVar[Any] = SceneStatementsConfig
    square = closed_vocabulary = has_false_captions = True
    vocabulary: ClassVar[Mapping[str, Any]] = {
        "kinds": {"size": SIZES, "colour": COLORS, "shape": SHAPES},
        "noun": "thing",
    }

    def split(self, name: SplitName, size: int) -> StatedScenes:
        if name == "train":
            return StatedScenes(self.config, ("train",), size, self.config.scenes)
        return StatedScenes(self.config, ("val", "held_out"), size, 512)

    def texts(self) -> Iterator[str]:
        """All words of the statements."""
        shapes = [word for shape in SHAPES for word in (shape, plural(shape))]
        yield " ".join((*COLORS, *SIZES, *NUMBERS[2:], *shapes, "thing things a an the is are and , ."))
        yield from (text.replace("{}", "").replace("{be}", "") for text in FRAMES)
        for relation in RELATION_PHRASES.values():
            yield from relation


class StatedScenes:
    """The scenes of some splits in turn."""

    def __init__(self, config: SceneStatementsConfig, splits: tuple[str, ...], size: int, count: int) -> None:
        self.config, self.count = config, count
        self.scenes = [
            Scenes(size, split=split, style=config.style, backgrounds=config.backgrounds) for split in splits
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """A scene with a true statement and, mostly, a false one; others at each visit."""
        scene = self.scenes[key % len(self.scenes)][key]
        text = statement(scene, random.Random(int(rng.integers(2**32))), self.config)
        false = scene.negatives(text)
        return Pair(
            scene.pixels, (text,), scene.key, false[int(rng.integers(len(false)))] if false else "", key=key
        )


def statement(scene: Scene, rng: random.Random, config: SceneStatementsConfig) -> str:
    """Something that is true of a scene."""
    kind = rng.random()
    if kind < config.related and scene.relations:
        i, relation, k = rng.choice(scene.relations)
        first, second = (phrase(scene.objects[n], color=scene.colored) for n in (i, k))
        return rng.choice(RELATED).format(
            a=with_article(first), b=with_article(second), one=first, other=second,
            how=rng.choice(RELATION_PHRASES[relation]),
        )  # fmt: skip
    if kind < config.related + config.listed:
        return rng.choice(scene.captions("plain"))
    one, frame = rng.choice(scene.objects), rng.choice(FRAMES)
    kind_of = Mention(one.shape) if rng.random() < 0.5 or not scene.colored else Mention(color=one.color)
    count = sum(matches(other, kind_of) for other in scene.objects)
    if count > 1:
        return frame.format(f"{NUMBERS[count]} {plural(str(kind_of))}", be="are")
    shaped, sized = (rng.random() < share for share in (0.8, 0.25))
    name = phrase(one, color=scene.colored, size=sized)
    name = name if shaped else name.replace(one.shape, "thing")
    return frame.format(with_article(name), be="is")
