"""The detector's tasks: phrases that fit what they should, boxes turned with their pictures, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.scenes import HELD_OUT, Scenes  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.optim.optimizers import make_optimizers  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.training.task import find_task  # noqa: E402
from visprog.training.tasks.clip import Shape  # noqa: E402
from visprog.training.tasks.owl import FileOwl, FileOwlConfig, SceneOwl, SceneOwlConfig, some_phrase, turned  # noqa: E402

SHAPE = Shape(size=32, patch=8, dim=32, layers=1, heads=2, text_dim=32, text_layers=1, text_heads=2)


def test_phrases_name_what_they_are_said_to() -> None:
    torch.manual_seed(0)
    task = SceneOwl(SceneOwlConfig(shape=SHAPE, most=8))
    data = task.data("train")
    rng = np.random.default_rng(0)
    fits = 0
    for key in range(30):
        scene, (asked, things) = data.scenes[key], data.sample(key, rng)
        assert things == scene.things
        assert len(set(asked.phrases)) == task.config.queries
        for column, phrase in enumerate(asked.phrases):
            assert np.flatnonzero(asked.named[:, column]).tolist() == scene.find(phrase)
        assert ((asked.boxes >= 0) & (asked.boxes <= 1)).all()
        fits += asked.named.any(0).sum()
    assert 0.35 < fits / (30 * task.config.queries) < 0.85


def test_every_scene_of_a_batch_is_asked_for_all_phrases_of_the_batch() -> None:
    torch.manual_seed(0)
    task = SceneOwl(SceneOwlConfig(shape=SHAPE, most=8))
    data = task.data("train")
    rng = np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(5)]
    batch = data.collate(samples)
    phrases = list(dict.fromkeys(phrase for asked, _ in samples for phrase in asked.phrases))
    assert batch["tokens"].shape[:2] == (5, len(phrases)) and len(phrases) > task.config.queries
    for key in range(5):
        for column, phrase in enumerate(phrases):
            assert np.flatnonzero(batch["named"][key, :, column]).tolist() == data.scenes[key].find(phrase)


def test_training_never_names_what_is_held_out() -> None:
    rng = np.random.default_rng(0)
    scenes = Scenes(32, split="train")
    for key in range(400):
        for shown in (True, False):
            words = set(some_phrase(scenes[key], rng, shown=shown, rare=False).split())
            assert not any(words.issuperset(pair) for pair in HELD_OUT)


@pytest.mark.parametrize("which", range(8))
def test_pictures_and_boxes_turn_together(which: int) -> None:
    pixels = np.zeros((12, 20, 3), np.uint8)
    pixels[2:5, 3:9] = 255
    box = np.array([[3 / 20, 2 / 12, 9 / 20, 5 / 12]])
    turned_pixels, turned_box = turned(pixels, box, which)
    height, width = turned_pixels.shape[:2]
    left, top, right, bottom = np.rint(turned_box[0] * [width, height, width, height]).astype(int)
    assert turned_pixels[top:bottom, left:right].min() == 255
    assert turned_pixels.astype(int).sum() == 3 * 255 * (bottom - top) * (right - left)


def test_it_learns_a_batch_and_is_scored_and_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = SceneOwl(SceneOwlConfig(shape=SHAPE, most=8))
    data = task.data("train")
    rng = np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(4)])
    optimizer = torch.optim.Adam(task.model.parameters(), 2e-3)
    first = task.loss(batch)["loss"].item()
    before = task.score({k: v.detach() for k, v in task.predict(batch).items()})
    for _ in range(250):
        optimizer.zero_grad()
        loss = task.loss(batch)["loss"]
        loss.backward()
        optimizer.step()
    after = task.score({k: v.detach() for k, v in task.predict(batch).items()})
    assert loss.item() < 0.5 * first
    assert after["ap50"] > 0.5 > before["ap50"]
    task.save(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} >= {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "image_processor.json",
    }


def test_files_of_boxes(shared: Path) -> None:
    path = shared / "data/bccd_trainval.zip"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    task = FileOwl(FileOwlConfig(shape=SHAPE, data=path))
    assert sorted(task.train.labels) == ["Platelets", "RBC", "WBC"] and task.config.queries == 3
    data = task.data("train")
    rng = np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in (0, 1)])
    assert batch["named"].sum(-1)[0, : batch["things"][0]].tolist() == [1] * int(batch["things"][0])
    assert np.isfinite(task.loss(batch)["loss"].item())


@pytest.mark.parametrize("name", ["clip", "coca", "llava-words", "llava", "owl", "sam"])
def test_the_recipes_on_scenes_build_their_models(name: str) -> None:
    recipe = load_recipe(name, ["start=null"] if name == "llava" else [])
    task = find_task(recipe.task)(recipe.arguments)
    assert make_optimizers(task, recipe.optimizer)
    data, rng = task.data("train"), np.random.default_rng(0)
    assert isinstance(data.collate([data.sample(key, rng) for key in range(2)]), dict)


def test_the_recipe_for_ones_own_boxes(shared: Path) -> None:
    path = shared / "data/bccd_trainval.zip"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    recipe = load_recipe("owl-boxes", [f"data={path}", "names={WBC: white blood cell}"])
    task = find_task(recipe.task)(recipe.arguments)
    assert make_optimizers(task, recipe.optimizer)
    assert sorted(task.phrases) == ["platelets", "rbc", "white blood cell"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="names: there is no 'Leaf'"):
        find_task(recipe.task)(replace(recipe.arguments, names={"Leaf": "leaf"}))
