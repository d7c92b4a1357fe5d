"""CLIP on scenes: single things and whole pictures, with what can be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.preprocess.tokenizer import Tokenizer, word_tokenizer

from ...scenes import COLORS, SHAPES, TEXTURES, Scene, Scenes, Thing
from ...scenes.things import is_held_out
from .clip import NO_FACT, PairConfig, PairTask

LENGTH = 32
FRAMES = (
    "a {}",
    "a {}",
    "a picture of a {}",
    "there is a {}",
    "the picture shows a {}",
    "a drawing with a {}",
)
NAMES = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
"""The classes of the zero-shot test; name i has colour i // 12 and shape i % 12."""


@dataclass(frozen=True)
class SceneClipConfig(PairConfig):
    """What a recipe says of CLIP on scenes.

    Attributes:
        scenes: how many scenes there are to train on.
        crops: share of samples that show one thing cut out of a scene.
        styled: share of scenes in another style than the normal one.
        backgrounds: folder of photographs behind half of the scenes.
        negatives: a false text for each image, which differs from a true one in a word or two.
    """

    scenes: int = 1_000_000
    crops: float = 0.6
    styled: float = 0.2
    backgrounds: Path | None = None
    negatives: bool = True


class View(NamedTuple):
    """A picture and what is said of it.

    Attributes:
        text: true of it.
        negative: not true of it; "" for none.
        things: colour, texture and shape of each thing, as places in the vocabulary; colour -2 where unseen.
        says: what `text` says of one thing, -1 for what it does not; all -1 where it says more.
    """

    pixels: NDArray[np.uint8]
    text: str
    negative: str
    things: list[tuple[int, int, int]]
    says: tuple[int, int, int]


class SceneViews:
    """Crops of things, pictures of one thing and of several."""

    def __init__(self, task: SceneClip, split: str, count: int) -> None:
        self.task, self.config, self.count = task, task.config, count
        size, photos = task.config.shape.size, task.config.backgrounds
        self.kinds = {
            (style, most): Scenes(size, split=split, things=(1, most), style=style, backgrounds=photos)
            for style in (None, "mixed")
            for most in (1, 3, 5)
        }

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> View:
        """A crop of a thing of a scene, a picture of one thing, or of up to three."""
        style = "mixed" if rng.random() < self.config.styled else None
        part = rng.random()
        if part < self.config.crops:
            return crop_view(self.kinds[style, 5][key], rng)
        return scene_view(self.kinds[style, 1 if part < (1 + self.config.crops) / 2 else 3][key], rng)

    def collate(self, samples: list[View]) -> dict[str, Tensor]:
        most = max(len(view.things) for view in samples)
        things = torch.full((len(samples), most, 3), NO_FACT)
        for i, view in enumerate(samples):
            things[i, : len(view.things)] = torch.tensor(view.things)
        texts = [view.text for view in samples]
        if self.config.negatives:
            texts += [view.negative or "nothing" for view in samples]
        ids = self.task.ids(texts).split(len(samples))
        batch = {
            "images": self.task.pixels([view.pixels for view in samples]),
            "tokens": ids[0],
            "things": things,
            "says": torch.tensor([view.says for view in samples]),
        }
        return batch | ({"hard": ids[1]} if self.config.negatives else {})


class SceneTest:
    """Half of the samples are crops, half pictures of one thing; half have combinations never trained on."""

    def __init__(self, task: SceneClip, count: int) -> None:
        self.task, self.count, size = task, count, task.config.shape.size
        self.tests = [
            (Scenes(size, split=split, things=(1, most)), most > 1)
            for split in ("val", "held_out")
            for most in (5, 1)
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int, int]:
        """Pixels, the place of the right name in NAMES, and which test it is of."""
        which = key % len(self.tests)
        scenes, cut = self.tests[which]
        scene = scenes[key]
        odd = [i for i, thing in enumerate(scene.things) if thing.held_out]
        i = int(rng.choice(odd or len(scene.things)))
        thing = scene.things[i]
        pixels = crop(scene, i, rng, 0.05, 0.05) if cut else scene.pixels
        return pixels, COLORS.index(thing.color) * len(SHAPES) + SHAPES.index(thing.shape), which

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        pixels, names, which = zip(*samples, strict=True)
        return {
            "images": self.task.pixels(pixels),
            "name": torch.tensor(names),
            "test": torch.tensor(which),
        }


class SceneClip(PairTask):
    """Scores: the share of things named right among all colours and shapes, "crops" and "pictures" of one thing,
    the same of combinations that training never shows, and of the colour and the shape alone."""

    Config: ClassVar[Any] = SceneClipConfig
    metric: ClassVar[str] = "accuracy"

    def __init__(self, config: SceneClipConfig) -> None:
        super().__init__(config, scene_tokenizer(), LENGTH)
        # Not stretched: a square and a rectangle differ in nothing else.
        self.pixels = replace(self.pixels, square=True)

    def data(self, split: Literal["train", "val"]) -> SceneViews | SceneTest:
        return SceneViews(self, "train", self.config.scenes) if split == "train" else SceneTest(self, 1024)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {
            "features": self.model.encode_images(batch["images"]).float(),
            "name": batch["name"],
            "test": batch["test"],
        }

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        device = next(self.model.parameters()).device
        texts = self.model.encode_texts(self.ids([f"a {name}" for name in NAMES]).to(device)).float().cpu()
        cosines = predictions["features"] @ texts.T
        name, test = predictions["name"], predictions["test"]
        grid = cosines.view(-1, len(COLORS), len(SHAPES))
        right = cosines.argmax(1) == name
        color = grid.amax(2).argmax(1) == name // len(SHAPES)
        shape = grid.amax(1).argmax(1) == name % len(SHAPES)
        scores = {
            title: right[test == k].float().mean()
            for k, title in enumerate(("crops", "pictures", "held_out_crops", "held_out_pictures"))
        }
        scores |= {
            "color": color.float().mean(),
            "shape": shape.float().mean(),
            "accuracy": right.float().mean(),
        }
        return {title: float(value) for title, value in scores.items()}


def crop(
    scene: Scene, index: int, rng: np.random.Generator, least: float = 0.0, most: float = 0.35
) -> NDArray[np.uint8]:
    """One thing cut out of a scene that is drawn larger, with a margin of a share of its longer side."""
    wide = scene.at(int(rng.integers(1, 4)) * 64)
    left, top, right, bottom = wide.boxes[index]
    margins = rng.uniform(least, most, 4) * max(right - left, bottom - top)
    left, top = max(int(left - margins[0]), 0), max(int(top - margins[1]), 0)
    right, bottom = int(np.ceil(right + margins[2])), int(np.ceil(bottom + margins[3]))
    return wide.pixels[top:bottom, left:right]


def crop_view(scene: Scene, rng: np.random.Generator) -> View:
    """One thing of a scene."""
    i = int(rng.integers(len(scene.things)))
    return _one(scene, scene.things[i], crop(scene, i, rng), rng)


def scene_view(scene: Scene, rng: np.random.Generator) -> View:
    """A whole scene, with a caption of it or of one of its things."""
    if rng.random() < 0.5:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        return _one(scene, thing, scene.pixels, rng)
    text = str(rng.choice(scene.captions("plain")))
    false = scene.negatives(text)
    facts = [_facts(thing, scene) for thing in scene.things]
    return View(scene.pixels, text, false[0] if false else "", facts, (-1, -1, -1))


def scene_tokenizer() -> Tokenizer:
    """All words of the language of scenes."""
    scenes = Scenes(32, split="train")
    texts = [text for i in range(600) for level in ("plain", "full") for text in scenes[i].captions(level)]
    texts += [f"{n} {t} thing something nothing" for n in NAMES for t in TEXTURES] + list(FRAMES)
    return word_tokenizer((text.replace("{}", "") for text in texts), LENGTH)


def _one(scene: Scene, thing: Thing, pixels: NDArray[np.uint8], rng: np.random.Generator) -> View:
    """A view that is spoken of as one thing."""
    whole = pixels is scene.pixels
    facts = _facts(thing, scene)
    colored, textured = facts[0] >= 0 and rng.random() < 0.85, facts[1] > 0 and rng.random() < 0.4
    shaped = not colored or rng.random() < 0.9
    said = (facts[0] if colored else -1, facts[1] if textured else -1, facts[2] if shaped else -1)
    text = _frame(_phrase(said), rng)
    # One word of it is changed: not true of any thing that the picture shows.
    shown = [_facts(t, scene) for t in scene.things] if whole else [facts]
    changed = int(rng.choice([k for k, value in enumerate(said) if value >= 0]))
    others = [v for v in range(len((COLORS, TEXTURES, SHAPES)[changed])) if changed != 1 or v > 0]
    false = [(*said[:changed], v, *said[changed + 1 :]) for v in others]
    false = [f for f in false if not any(_holds(f, t) for t in shown) and not _rare(f)]
    negative = _frame(_phrase(false[int(rng.integers(len(false)))]), rng) if false else ""
    return View(pixels, text, negative, shown, said)


def _facts(thing: Thing, scene: Scene) -> tuple[int, int, int]:
    color = COLORS.index(thing.color) if scene.colored else -2
    return color, TEXTURES.index(thing.texture), SHAPES.index(thing.shape)


def _holds(said: tuple[int, ...], facts: tuple[int, ...]) -> bool:
    return all(s < 0 or s == f for s, f in zip(said, facts, strict=True))


def _rare(said: tuple[int, ...]) -> bool:
    """Whether it names a combination that training never shows."""
    color, texture, shape = (
        None if value < 0 else words[value]
        for words, value in zip((COLORS, TEXTURES, SHAPES), said, strict=True)
    )
    return is_held_out(shape, color, texture)


def _phrase(said: tuple[int, ...]) -> str:
    color, texture, shape = said
    words = (
        TEXTURES[texture] if texture > 0 else "",
        COLORS[color] if color >= 0 else "",
        SHAPES[shape] if shape >= 0 else "thing",
    )
    return " ".join(word for word in words if word)


def _frame(phrase: str, rng: np.random.Generator) -> str:
    text = FRAMES[int(rng.integers(len(FRAMES)))].format(phrase)
    return text.replace("a " + phrase, ("an " if phrase[0] in "aeiou" else "a ") + phrase)
