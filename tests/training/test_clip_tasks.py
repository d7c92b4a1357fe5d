"""The tasks that train CLIP and SigLIP: what they say of a picture is true, and they learn."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from visprog.scenes import COLORS, SHAPES, TEXTURES  # noqa: E402
from visprog.scenes.things import HELD_OUT  # noqa: E402
from visprog.training.recipe import load_recipe, shipped_recipes  # noqa: E402
from visprog.training.task import Runner  # noqa: E402
from visprog.training.tasks.captioned import divide  # noqa: E402
from visprog.training.tasks.clip import Shape, true_of  # noqa: E402
from visprog.training.tasks.clip_files import CaptionClip, CaptionClipConfig, ClassClip, ClassClipConfig  # noqa: E402
from visprog.training.tasks.clip_scenes import NAMES, SceneClip, SceneClipConfig  # noqa: E402

TINY = Shape(size=32, patch=8, dim=16, layers=1, heads=2, text_dim=16, text_layers=1, text_heads=2, project=8)


@pytest.fixture(scope="module")
def scenes() -> SceneClip:
    torch.manual_seed(0)
    return SceneClip(SceneClipConfig(shape=TINY))


def batch_of(task: Any, split: str, count: int, seed: int = 0) -> Any:
    data, rng = task.data(split), np.random.default_rng(seed)
    return data.collate([data.sample(i, rng) for i in range(count)])


def test_facts_decide_which_texts_are_true() -> None:
    things = torch.tensor([[[0, 1, 2], [3, 0, 4]], [[0, 0, 2], [-3, -3, -3]], [[-2, 1, 4], [-3, -3, -3]]])
    says = torch.tensor([[0, -1, 2], [-1, -1, 4], [-1, -1, -1]])
    assert true_of(things, says).tolist() == [
        [True, True, False],  # red something of shape 2, something of shape 4
        [True, True, False],  # its own text is true of it, whatever it says
        [False, True, True],  # of unseen colour; a text that says nothing is true of its own picture alone
    ]


def test_what_is_said_of_a_view_is_true_and_its_negative_is_not(scenes: SceneClip) -> None:
    data, rng = scenes.data("train"), np.random.default_rng(1)
    single = several = 0
    for i in range(150):
        view = data.sample(i, rng)
        words = view.text.replace(",", "").split()
        if max(view.says) < 0:
            several += 1
            continue
        single += 1
        said = [(COLORS, view.says[0]), (TEXTURES, view.says[1]), (SHAPES, view.says[2])]
        for vocabulary, place in said:
            named = [w for w in words if w in vocabulary and (vocabulary is not TEXTURES or w != "solid")]
            assert named == ([vocabulary[place]] if place >= 0 else []), view.text
        assert any(all(s in (-1, f) for s, f in zip(view.says, facts, strict=True)) for facts in view.things)
        false = view.negative.split()
        assert not any((c, s) in HELD_OUT for c in false for s in false)
        told = [next((v.index(w) for w in false if w in v), -1) for v in (COLORS, TEXTURES, SHAPES)]
        assert not any(all(s in (-1, f) for s, f in zip(told, facts, strict=True)) for facts in view.things)
    assert single > 80 and several > 10


def test_no_word_of_the_scenes_is_unknown(scenes: SceneClip) -> None:
    data, rng = scenes.data("train"), np.random.default_rng(2)
    texts = [
        text for i in range(100) for view in [data.sample(i, rng)] for text in (view.text, view.negative)
    ]
    ids = scenes.ids([*texts, *(f"a {name}" for name in NAMES)])
    assert scenes.tokenizer.id("<unk>") not in ids
    assert ids.shape[1] < 32


def test_a_perfect_model_scores_one_and_chance_is_low(scenes: SceneClip) -> None:
    batch = batch_of(scenes, "val", 64)
    scores = scenes.score(scenes.predict(batch))
    assert scores["accuracy"] < 0.2
    assert set(scores) >= {"crops", "pictures", "held_out_crops", "held_out_pictures", "color", "shape"}
    texts = scenes.model.encode_texts(scenes.ids([f"a {name}" for name in NAMES]))
    perfect = {"features": texts[batch["name"]], "name": batch["name"], "test": batch["test"]}
    assert set(scenes.score(perfect).values()) == {1.0}
    held_out = [tuple(NAMES[n].split()) in HELD_OUT for n in batch["name"]]
    assert not any(h for h, t in zip(held_out, batch["test"], strict=True) if t < 2)
    assert any(held_out)


@pytest.mark.parametrize("objective", ["clip", "siglip"])
def test_it_learns_and_cached_gradients_are_the_same(objective: str) -> None:
    from accelerate import Accelerator

    torch.manual_seed(0)
    task = SceneClip(SceneClipConfig(shape=TINY, objective=objective))
    batch, accelerator = batch_of(task, "train", 24), Accelerator(cpu=True)
    run = Runner(task)
    task.backward(run, batch, accelerator)
    whole = {name: p.grad.clone() for name, p in task.model.named_parameters()}
    task.model.zero_grad()
    task.config = replace(task.config, cache_chunk=7)
    losses = task.backward(run, batch, accelerator)
    for name, parameter in task.model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], atol=1e-6, rtol=1e-4)
    task.config = replace(task.config, cache_chunk=None)
    optimizer = torch.optim.AdamW(task.model.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        last = task.backward(run, batch, accelerator)["loss"]
        optimizer.step()
        task.after_step()
    assert last < 0.8 * losses["loss"]


def test_the_temperature_is_clamped(scenes: SceneClip) -> None:
    with torch.no_grad():
        scenes.model.logit_scale.fill_(9.0)
    scenes.after_step()
    assert float(scenes.model.logit_scale.detach().exp()) == pytest.approx(100)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    from PIL import Image

    with zipfile.ZipFile(tmp_path / "classes.zip", "w") as archive:
        for name, color in (("cat", (200, 40, 40)), ("dog", (40, 40, 200))):
            for i in range(30):
                data = io.BytesIO()
                Image.new("RGB", (40, 30), color).save(data, "png")
                archive.writestr(f"train/{name}/{i:04}.png", data.getvalue())
    return tmp_path / "classes.zip"


def test_classes_are_divided_and_learned(classes: Path, tmp_path: Path) -> None:
    from benchmarks.zero_shot_table import table

    torch.manual_seed(0)
    task = ClassClip(ClassClipConfig(classes=classes, shape=TINY))
    assert task.names == ["cat", "dog"]
    parts = [divide(task.pairs, part) for part in ("train", "val", "test")]
    assert sorted(i for part in parts for i in part) == list(range(60))
    assert min(map(len, parts)) > 0 and len(parts[0]) > 35
    batch = batch_of(task, "train", len(parts[0]))
    assert set(batch["says"].flatten().tolist()) == {0, 1}
    optimizer = torch.optim.AdamW(task.model.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        task.loss(batch)["loss"].backward()
        optimizer.step()
    assert task.score(task.predict(batch_of(task, "val", len(parts[1]))))["accuracy"] == 1.0
    task.save(tmp_path)
    found = table(tmp_path, classes)
    assert {"one template", "7 templates", "80 templates", "CuPL sentences"} <= set(found)
    assert found["80 templates"] == 1.0
    assert next(v for k, v in found.items() if k.startswith("linear probe")) == 1.0


def test_captions_are_learned_from_files(classes: Path, tmp_path: Path) -> None:
    from PIL import Image

    for i in range(40):
        Image.new("RGB", (20, 20), (6 * i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"picture number {i}")
    task = CaptionClip(CaptionClipConfig(pairs=tmp_path, shape=TINY, vocabulary=300, length=20))
    batch = batch_of(task, "train", 8)
    assert torch.isfinite(task.loss(batch)["loss"])
    count = len(task.data("val"))
    scores = task.score(task.predict(batch_of(task, "val", count)))
    assert set(scores) == {"image_to_text", "text_to_image"}


def test_the_recipes_can_be_read(classes: Path) -> None:
    assert {"clip", "clip-cifar10"} <= set(shipped_recipes())
    recipe = load_recipe("clip", ["steps=7"])
    assert recipe.steps == 7 and isinstance(recipe.arguments, SceneClipConfig)
    recipe = load_recipe("clip-cifar10", [f"classes={classes}"])
    assert recipe.arguments.classes == classes
