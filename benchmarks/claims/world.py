"""A small world for experiments: coloured shapes on a noisy background, one or two in an image, with every fact known.

Smaller and faster than `visprog.scenes`, so that a model is trained from scratch in a minute on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COLORS = {
    "red": (220, 50, 47),
    "green": (60, 180, 75),
    "blue": (30, 90, 220),
    "yellow": (240, 220, 40),
    "purple": (150, 50, 190),
    "orange": (245, 140, 30),
}
SHAPES = ("square", "circle", "triangle", "cross", "ring", "bar")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RELATIONS = tuple(OPPOSITE)

SIDES = ("left", "right", "above", "below")
FACTS = tuple(f"{shape}={what}" for shape in SHAPES for what in (*COLORS, *SIDES))
"""Words of `Scene.facts`."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """A coloured shape; centre and radius in pixels."""

    color: str
    shape: str
    x: float
    y: float
    radius: float

    @property
    def name(self) -> str:
        """Such as "red square"."""
        return f"{self.color} {self.shape}"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        return (self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True)
class Scene:
    """One shape, or two or more; `relation` is that of the first to the second, empty for one shape."""

    shapes: tuple[Shape, ...]
    relation: str = ""

    @property
    def caption(self) -> str:
        """Such as "a red square left of a blue circle"."""
        first = f"a {self.shapes[0].name}"
        return f"{first} {self.relation} a {self.shapes[1].name}" if self.relation else first

    @property
    def captions(self) -> tuple[str, ...]:
        """All true captions: of two shapes, either may come first."""
        if not self.relation:
            return (self.caption,)
        turned = Scene(self.shapes[::-1], OPPOSITE[self.relation])
        return (self.caption, turned.caption)

    @property
    def facts(self) -> tuple[str, ...]:
        """What is true of two shapes, as words that may stand in any order, such as "square=red" and "square=left"."""
        sides = (self.relation.split()[0], OPPOSITE[self.relation].split()[0])
        return tuple(
            f"{one.shape}={what}"
            for one, side in zip(self.shapes, sides, strict=True)
            for what in (one.color, side)
        )

    @property
    def other_relation(self) -> str:
        """A false caption with the opposite relation."""
        return replace(self, relation=OPPOSITE[self.relation]).caption

    @property
    def swapped_colors(self) -> str:
        """A false caption in which the two shapes exchange their colours."""
        a, b = self.shapes[:2]
        return replace(self, shapes=(replace(a, color=b.color), replace(b, color=a.color))).caption

    def other_object(self, rng: np.random.Generator) -> str:
        """A false caption in which one shape is another."""
        which = int(rng.integers(len(self.shapes[:2])))
        free = [shape for shape in SHAPES if shape not in {s.shape for s in self.shapes}]
        shapes = list(self.shapes)
        shapes[which] = replace(shapes[which], shape=str(rng.choice(free)))
        return replace(self, shapes=tuple(shapes)).caption


@dataclass(frozen=True)
class Pool:
    """Images with their scenes.

    Attributes:
        images: (n, size, size, 3).
        scenes: n.
    """

    images: Pixels
    scenes: tuple[Scene, ...]

    def __len__(self) -> int:
        return len(self.scenes)

    def pixels(self, rows: Sequence[int] | NDArray[np.int64] | slice) -> Tensor:
        """Images as a model reads them, (k, 3, size, size) from -1 to 1."""
        return torch.from_numpy(self.images[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1


def single_shapes(count: int, seed: int, *, size: int = 48, noise: float = 8.0) -> Pool:
    """Images of one shape anywhere."""
    rng = np.random.default_rng((seed, 1))
    scenes = []
    for _ in range(count):
        radius = rng.uniform(6, 10) * size / 48
        x, y = rng.uniform(radius + 1, size - radius - 1, 2)
        scenes.append(Scene((Shape(str(rng.choice(list(COLORS))), str(rng.choice(SHAPES)), x, y, radius),)))
    return _draw(scenes, rng, size, noise)


def pairs_of_shapes(count: int, seed: int, *, size: int = 48, noise: float = 8.0) -> Pool:
    """Images of two shapes of different colours and shapes, one left of, right of, above or below the other."""
    rng = np.random.default_rng((seed, 2))
    scenes = []
    for _ in range(count):
        colors, shapes = rng.choice(list(COLORS), 2, replace=False), rng.choice(SHAPES, 2, replace=False)
        relation = str(rng.choice(RELATIONS))
        near, far = rng.uniform(9, 15), rng.uniform(33, 39)
        along = rng.uniform(12, 36)
        beside = float(np.clip(along + rng.uniform(-5, 5), 9, 39))
        first, second = {
            "left of": ((near, along), (far, beside)),
            "right of": ((far, along), (near, beside)),
            "above": ((along, near), (beside, far)),
            "below": ((along, far), (beside, near)),
        }[relation]
        scale = size / 48
        made = tuple(
            Shape(str(c), str(s), x * scale, y * scale, 6 * scale)
            for c, s, (x, y) in zip(colors, shapes, (first, second), strict=True)
        )
        scenes.append(Scene(made, relation))
    return _draw(scenes, rng, size, noise)


def draw(scenes: Sequence[Scene], seed: int, *, size: int = 48, noise: float = 8.0) -> Pool:
    """Images of given scenes."""
    return _draw(scenes, np.random.default_rng((seed, 3)), size, noise)


def _draw(scenes: Sequence[Scene], rng: np.random.Generator, size: int, noise: float) -> Pool:
    images = np.empty((len(scenes), size, size, 3), np.uint8)
    y, x = np.mgrid[:size, :size] + 0.5
    for image, scene in zip(images, scenes, strict=True):
        canvas = np.full((size, size, 3), 235.0)
        for shape in scene.shapes:
            canvas[_mask(shape, x, y)] = COLORS[shape.color]
        image[:] = (canvas + rng.normal(0, noise, canvas.shape)).clip(0, 255)
    return Pool(images, tuple(scenes))


def _mask(shape: Shape, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    dx, dy, r = abs(x - shape.x), y - shape.y, shape.radius
    if shape.shape == "square":
        return (dx <= r) & (abs(dy) <= r)
    if shape.shape == "circle":
        return dx**2 + dy**2 <= r**2
    if shape.shape == "triangle":
        return (abs(dy) <= r) & (dx <= (dy + r) / 2)
    if shape.shape == "cross":
        return ((dx <= r / 3) & (abs(dy) <= r)) | ((abs(dy) <= r / 3) & (dx <= r))
    if shape.shape == "ring":
        return (dx**2 + dy**2 <= r**2) & (dx**2 + dy**2 >= (0.55 * r) ** 2)
    return (dx <= r) & (abs(dy) <= r / 3)


PAD, START, END, MASK = range(4)


class Words:
    """Token ids of texts, one per word: 0 pads, 1 starts, 2 ends, 3 masks.

    Args:
        texts: whose words are known.
        length: number of tokens of every text, start and end included.
    """

    def __init__(self, texts: Sequence[str], length: int = 14) -> None:
        known = sorted({word for text in texts for word in text.split()})
        self.ids = {word: i for i, word in enumerate(known, 4)}
        self.words = {i: word for word, i in self.ids.items()}
        self.length = length

    def __len__(self) -> int:
        return 4 + len(self.ids)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids (n, length).

        Raises:
            KeyError: a word is not known.
        """
        rows = [[START, *(self.ids[word] for word in text.split()), END] for text in texts]
        return torch.tensor([row + [PAD] * (self.length - len(row)) for row in rows])

    def facts(self, scenes: Sequence[Scene], slots: int, generator: torch.Generator) -> Tensor:
        """Ids (n, slots) of the facts of scenes, in any order, with padding among them."""
        known = torch.tensor([[self.ids[fact] for fact in scene.facts] for scene in scenes])
        padded = torch.nn.functional.pad(known, (0, slots - known.shape[1]), value=PAD)
        return padded.gather(1, torch.rand(padded.shape, generator=generator).argsort(1))

    def decode(self, ids: Sequence[int]) -> str:
        """The words up to the end."""
        words = []
        for token in map(int, ids):
            if token == END:
                break
            if token in self.words:
                words.append(self.words[token])
        return " ".join(words)


def share_right(scenes: Sequence[Scene], written: Sequence[str]) -> float:
    """Share of written captions that say all that is true of two shapes, whichever comes first."""
    return sum(text in scene.captions for scene, text in zip(scenes, written, strict=True)) / len(scenes)


def world_words(further: Sequence[str] = (), length: int = 14) -> Words:
    """All words of captions, and those of further texts."""
    return Words([*COLORS, *SHAPES, *RELATIONS, "a", *further], length)
