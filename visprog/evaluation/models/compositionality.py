"""Compositionality of image–text models: relations, attributes and word order (ARO), beside retrieval.

The tests of ARO (Yuksekgonul et al. 2023, arXiv:2210.01936): an image and captions that differ in little, of which the
right one must score higher than all others. Beside them stands plain retrieval, which fine-tuning on hard negatives may
harm. Without data the images are drawn scenes of two objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import VisprogError
from ...scenes.related import RelatedPair, RelatedPairs
from ..folder import data_digest
from ..statistics import wilson
from .aro import Choice, order_choice, read_aro
from .benchmark import ModelBenchmark, SummaryTable
from .scorers import ImageArray, ImageTextScorer, load_scorer, model_digest

CHUNK = 64
"""Number of images in memory at once."""

RETRIEVAL = "retrieval"
LIMIT = 500
"""Number of entries per test, and of images of retrieval, if none is given."""

SCENES = ("attribute", "relation", "object", "order")
"""Tests of drawn scenes."""


@dataclass(frozen=True)
class SceneView:
    """A scene as an image."""

    pair: RelatedPair

    @property
    def name(self) -> str:
        """Identifies the scene."""
        return self.pair.scene.key

    def pixels(self) -> ImageArray:
        """The pixels."""
        return self.pair.scene.pixels


class Compositionality(ModelBenchmark):
    """The tests for one or several models.

    Args:
        models: Names of bundled models, folders, or hub ids.
        data: Data of the user, see `read_aro`; None for drawn scenes.
        limit: Number of entries per test; None for 500.
        scorers: Scorers by name, instead of loading `models`.

    Raises:
        VisprogError: A model or the data cannot be used.
    """

    name = "compositionality"

    def __init__(
        self,
        models: Sequence[str],
        data: Path | None = None,
        limit: int | None = None,
        scorers: Mapping[str, ImageTextScorer] | None = None,
    ) -> None:
        self.models, self.data, self.limit = list(dict.fromkeys(scorers or models)), data, limit or LIMIT
        self.given = scorers
        self._load = cache(load_scorer)
        self._read = read_aro(data, self.limit) if data else {}
        self.tests = tuple(self._read) if data else SCENES

    def made_with(self) -> Mapping[str, Any]:
        digests = {} if self.given else {model: model_digest(model) for model in self.models}
        found = {"models": self.models, "model_digests": digests, "limit": self.limit}
        return (
            found
            if self.data is None
            else {**found, "data": self.data.name, "data_digest": data_digest(self.data)}
        )

    def parts(self) -> Sequence[str]:
        return [f"{model} · {test}" for model in self.models for test in (*self.tests, RETRIEVAL)]

    def measure(self, part: str) -> Mapping[str, Any]:
        model, _, test = part.rpartition(" · ")
        scorer = self.given[model] if self.given else self._load(model)
        if test == RETRIEVAL:
            return retrieval(
                scorer, self._choices(scorer, self.tests[0] if self.data else "relation"), self.limit
            )
        return choose(scorer, self._choices(scorer, test))

    def summarise(self, figures: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        found: dict[str, dict[str, Any]] = {model: {} for model in self.models}
        for part, figure in figures.items():
            model, _, test = part.rpartition(" · ")
            found[model][test] = dict(figure)
        return {"models": found}

    def tables(self, summary: Mapping[str, Any]) -> Sequence[SummaryTable]:
        models: Mapping[str, Mapping[str, Any]] = summary["models"]
        columns = ["model", *self.tests, "image to text R@1", "text to image R@1"]
        rows = [
            [name, *(_cell(of[t], "accuracy") for t in self.tests),
             *(_cell(of[RETRIEVAL], key) for key in ("image_to_text", "text_to_image"))]
            for name, of in models.items()
        ]  # fmt: skip
        first = next(iter(models.values()))
        chances = [*(first[t]["chance"] for t in self.tests), *(first[RETRIEVAL]["chance"],) * 2]
        rows.append(["chance", *(f"{100 * chance:.1f}" for chance in chances)])
        counts = ", ".join(f"{test} {first[test]['count']}" for test in (*self.tests, RETRIEVAL))
        return [SummaryTable(f"Percent of right choices (of {counts}), with 95 % intervals", columns, rows)]

    def _choices(self, scorer: ImageTextScorer, test: str) -> list[Choice]:
        return self._read[test] if self.data else list(scene_choices(test, self.limit, scorer.size))


def scene_choices(test: str, count: int, size: int) -> Iterator[Choice]:
    """A test on drawn scenes of two objects, whose split no model is trained on.

    Args:
        test: One of `SCENES`.
        size: Side of the images in pixels.
    """
    pairs, rng = RelatedPairs(max(size, 32), split="val"), random.Random(0)
    for i in range(count):
        pair = pairs[i]
        view = SceneView(pair)
        if test == "attribute":
            yield Choice(view, (pair.listed, pair.exchanged().listed))
        elif test == "relation":
            other = pair._replace(first=pair.second, second=pair.first) if i % 2 else pair.flipped()
            yield Choice(view, (pair.caption, other.caption), pair.relation)
        elif test == "object":
            yield Choice(view, (pair.caption, pair.replaced(rng).caption))
        elif (choice := order_choice(view, pair.caption)) is not None:
            yield choice


def choose(scorer: ImageTextScorer, choices: Sequence[Choice]) -> Mapping[str, Any]:
    """How often the right caption scores higher than all others; a tie is not right.

    Returns:
        "accuracy" with its 95 % interval "low" to "high", "count", the "chance" level, and if there are groups, such as
        relations, the mean of their accuracies ("macro") and each.

    Raises:
        VisprogError: There is nothing to choose from, or a score is no number.
    """
    if not choices:
        raise VisprogError("a test without a single entry cannot be measured")
    right: list[bool] = []
    for start in range(0, len(choices), CHUNK):
        part = choices[start : start + CHUNK]
        scores = scorer.scores(
            [choice.view.pixels() for choice in part], [choice.captions for choice in part]
        )
        for row in scores:
            if not np.isfinite(row).all():
                raise VisprogError("the model gave a score that is no number")
            right.append(bool((row[0] > row[1:]).all()))
    groups: dict[str, list[bool]] = {}
    for choice, good in zip(choices, right, strict=True):
        groups.setdefault(choice.group, []).append(good)
    found = {**_share("accuracy", sum(right), len(right)), "count": len(right)}
    found["chance"] = float(np.mean([1 / len(choice.captions) for choice in choices]))
    if groups.keys() != {""}:
        each = {name: sum(of) / len(of) for name, of in sorted(groups.items())}
        found |= {"macro": sum(each.values()) / len(each), "groups": each}
    return found


def retrieval(scorer: ImageTextScorer, choices: Sequence[Choice], limit: int) -> Mapping[str, Any]:
    """Recall at 1 among the images of choices and their right captions: of an image, whether the nearest caption is one
    of its own; of a caption, whether the nearest image has it. Equal captions count once.

    Returns:
        "image_to_text" and "text_to_image" with their intervals, "count", the number of images, and "chance".
    """
    views = list({choice.view.name: choice.view for choice in choices}.values())[:limit]
    own = {view.name: set[str]() for view in views}
    for choice in choices:
        if choice.view.name in own:
            own[choice.view.name].add(choice.captions[0])
    texts = sorted(set().union(*own.values()))
    rows: list[Any] = []
    for start in range(0, len(views), CHUNK):
        part = views[start : start + CHUNK]
        rows += scorer.scores([view.pixels() for view in part], [texts] * len(part))
    scores = np.stack(rows)  # (images, texts)
    to_text = sum(texts[j] in own[view.name] for view, j in zip(views, scores.argmax(1), strict=True))
    to_image = sum(text in own[views[i].name] for text, i in zip(texts, scores.argmax(0), strict=True))
    return {
        **_share("image_to_text", to_text, len(views)),
        **_share("text_to_image", to_image, len(texts)),
        "count": len(views),
        "chance": float(np.mean([len(found) for found in own.values()]) / len(texts)),
    }


def _share(name: str, right: int, total: int) -> dict[str, Any]:
    low, high = wilson(right, total)
    return {name: right / total, f"{name}_low": low, f"{name}_high": high}


def _cell(figure: Mapping[str, Any], name: str) -> str:
    half = (figure[f"{name}_high"] - figure[f"{name}_low"]) / 2
    return f"{100 * figure[name]:.1f} ± {100 * half:.1f}"
