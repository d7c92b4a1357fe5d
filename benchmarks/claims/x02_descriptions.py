"""X2: sentences of a language model tell classes apart whose names a CLIP has never read (CuPL)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from torch import Tensor

from visprog.llm.chat import Message, Reply
from visprog.models.clip.model import Clip
from visprog.tools.backends.sentences import CuPL

from .claim import Check, Claim
from .small_models import image_features, text_features
from .world import COLORS, SHAPES, Pool, Scene, Shape, draw
from .x01_templates import TEMPLATES, accuracy, train_on_templates, words

NAMES = ("wug", "dax", "fep", "blick", "toma", "zorp")
STEPS, TEST = 300, 600
SHARES = {"bare name": None, "sentences": 0.0, "a fifth of them wrong": 0.2, "half of them wrong": 0.5}
"""Condition → share of wrong sentences; None for no sentences."""


class ScriptedChat:
    """A language model that knows how each class looks, and is wrong in a share of its replies.

    Args:
        looks: name of a class → what it looks like, such as "red square".
        wrong: share of replies about another class.
        seed: of what it says.
    """

    name = "scripted"

    def __init__(self, looks: Mapping[str, str], wrong: float, seed: int) -> None:
        self.looks, self.wrong, self.rng = looks, wrong, np.random.default_rng((seed, 7))

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        """`n` sentences about the class that the question names."""
        asked = next(name for name in self.looks if name in messages[-1]["content"])
        replies = []
        for _ in range(n):
            others = [name for name in self.looks if name != asked]
            said = str(self.rng.choice(others)) if self.rng.random() < self.wrong else asked
            template = TEMPLATES[int(self.rng.integers(len(TEMPLATES)))]
            replies.append(Reply(template.replace("{}", self.looks[said])))
        return replies


@cache
def model_of(seed: int) -> Clip:
    """A CLIP that has read colours and shapes, and none of the names."""
    return train_on_templates(words(NAMES), seed, STEPS, 20.0)


@cache
def world_of(seed: int) -> tuple[Mapping[str, str], Pool, Tensor]:
    """What the classes look like, images of them and their classes."""
    import torch

    rng = np.random.default_rng((seed, 6))
    looks = list(zip(rng.permutation(list(COLORS)).tolist(), rng.permutation(SHAPES).tolist(), strict=True))
    labels = rng.integers(len(NAMES), size=TEST)
    scenes = [Scene((Shape(*looks[k], *rng.uniform(9, 23, 2).tolist(), rng.uniform(4, 7)),)) for k in labels]
    pool = draw(scenes, seed, size=32, noise=20.0)
    return (
        {name: " ".join(look) for name, look in zip(NAMES, looks, strict=True)},
        pool,
        torch.from_numpy(labels),
    )


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Accuracy among the six classes, described in one way."""
    model, (looks, pool, labels) = model_of(seed), world_of(seed)
    share = SHARES[condition]
    if share is None:
        sentences = [[f"a photo of a {name}"] for name in NAMES]
    else:
        cupl = CuPL(ScriptedChat(looks, share, seed))
        sentences = [[text.rstrip(".") for text in cupl.sentences(name)] for name in NAMES]
    features = [text_features(model, words(NAMES), texts) for texts in sentences]
    return {"accuracy": accuracy(image_features(model, pool), labels, features)}


CLAIM = Claim(
    name="x2",
    title="Sentences of a language model describe classes whose names the model has never read",
    source="Pratt et al. 2023, arXiv:2209.03320",
    conditions=tuple(SHARES),
    measure=measure,
    metrics={"accuracy": 1 / len(NAMES)},
    checks=(
        Check("bare names are near chance", lambda r: r["bare name"]["accuracy"].mean < 0.35),
        Check("sentences tell the classes apart", lambda r: r["sentences"]["accuracy"].mean > 0.9),
        Check(
            "they still do if a fifth of them is wrong",
            lambda r: r["a fifth of them wrong"]["accuracy"].mean > 0.8,
        ),
    ),
)
