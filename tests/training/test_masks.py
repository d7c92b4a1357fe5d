"""The masks objective, on scenes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.scenes import Scenes  # noqa: E402
from visprog.training.objectives.masks import InteractiveMasks  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import CHANGES, under  # noqa: E402

TINY = [
    *CHANGES["sam"],
    *under("model", {
        "image_size": 64, "hidden": 16, "mask_channels": 8, "iou_head_hidden_dim": 8,
    }),
]  # fmt: skip


def built(*changes: str) -> InteractiveMasks:
    found = load_recipe("sam", [*TINY, *changes]).build()
    assert isinstance(found, InteractiveMasks)
    return found


def batch(task: InteractiveMasks, count: int = 3) -> dict[str, torch.Tensor]:
    data = task.data("train")
    return data.collate([data.sample(i, np.random.default_rng(i)) for i in range(count)])


def test_every_object_is_asked_for_as_often_as_numbers_allow() -> None:
    data = built("prompts=7", "data.nested=0", "data.style=normal").data("train")
    for key in range(5):
        truth = Scenes(size=64, style="normal")[key].masks
        pixels, masks = data.sample(key, np.random.default_rng(key))
        assert pixels.shape == (64, 64, 3) and masks.shape == (7, 64, 64)
        counts = [sum(np.array_equal(mask, one) for mask in masks) for one in truth]
        assert sum(counts) >= 7 and max(counts) - min(counts) <= 1


def test_nested_scenes_ask_for_the_whole_and_the_part() -> None:
    data = built("prompts=2", "data.nested=1").data("train")
    whole, part = sorted(data.sample(0, np.random.default_rng(0))[1], key=np.sum, reverse=True)
    assert (part & whole).sum() > 0.9 * part.sum()


def test_a_step_and_its_scores() -> None:
    torch.manual_seed(0)
    task = built("prompts=4", "clicks=2")
    given = batch(task)
    losses = task.loss(given)
    losses["loss"].backward()
    assert all(p.grad is not None for p in task.model.parameters())
    assert all(value.ndim == 0 for value in losses.values())
    with torch.no_grad():
        predictions = task.predict(given)
    assert all(value.shape == (3, 4) for value in predictions.values())
    scores = task.score(predictions)
    assert task.metric in scores
    assert scores["box_best"] >= scores["box"] >= 0 and scores["point_best"] >= scores["point"] >= 0
    assert task.amounts(given) == {"images": 3, "masks": 12}


def test_the_shipped_recipe_is_valid_and_small() -> None:
    objective = load_recipe("sam").build()
    assert sum(p.numel() for p in objective.model.parameters()) * 2 < 5e6  # bytes in float16
