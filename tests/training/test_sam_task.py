"""The task that trains SAM on scenes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.models.sam.model import SamConfig  # noqa: E402
from visprog.scenes import Scenes  # noqa: E402
from visprog.training.tasks.sam import SamTask, SamTaskConfig  # noqa: E402

TINY = SamConfig(
    image_size=64, patch=8, dim=16, layers=1, heads=2, hidden=16, window_size=0, global_attn_indexes=(), width=16,
    mask_channels=8, decoder_heads=2, decoder_hidden=16, iou_head_hidden_dim=8,
)  # fmt: skip


def batch(task: SamTask, count: int = 3) -> dict[str, torch.Tensor]:
    data = task.data("train")
    return data.collate([data.sample(i, np.random.default_rng(i)) for i in range(count)])


def test_every_thing_is_asked_for_as_often_as_numbers_allow() -> None:
    data = SamTask(SamTaskConfig(model=TINY, prompts=7, nested=0, style="normal")).data("train")
    for key in range(5):
        truth = Scenes(size=64, style="normal")[key].masks
        pixels, masks = data.sample(key, np.random.default_rng(key))
        assert pixels.shape == (64, 64, 3) and masks.shape == (7, 64, 64)
        counts = [sum(np.array_equal(mask, thing) for mask in masks) for thing in truth]
        assert sum(counts) >= 7 and max(counts) - min(counts) <= 1


def test_nested_scenes_ask_for_the_whole_and_the_part() -> None:
    data = SamTask(SamTaskConfig(model=TINY, prompts=2, nested=1)).data("train")
    whole, part = sorted(data.sample(0, np.random.default_rng(0))[1], key=np.sum, reverse=True)
    assert (part & whole).sum() > 0.9 * part.sum()


def test_a_step_and_its_scores() -> None:
    torch.manual_seed(0)
    task = SamTask(SamTaskConfig(model=TINY, prompts=4, clicks=2))
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
    from visprog.training.recipe import load_recipe

    recipe = load_recipe("sam")
    task = SamTask(recipe.arguments)
    assert sum(p.numel() for p in task.model.parameters()) * 2 < 5e6  # bytes in float16
