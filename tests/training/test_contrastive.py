"""The contrastive objective: what scenes say of an image is true, CLIP and SigLIP learn, and classes are scored."""

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
from visprog.scenes.objects import HELD_OUT  # noqa: E402
from visprog.training.data.captions import divide  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.data.scenes.pairs import NAMES  # noqa: E402
from visprog.training.objective import Runner  # noqa: E402
from visprog.training.objectives.contrastive import Contrastive, true_of  # noqa: E402
from visprog.training.recipe import load_recipe, shipped_recipes  # noqa: E402

from .recipes import CHANGES, CLIP, SIGLIP  # noqa: E402


def built(name: str, *changes: str, shape: list[str] = CLIP) -> Contrastive:
    torch.manual_seed(0)
    found = load_recipe(name, [*shape, "init_from=null", *changes]).build()
    assert isinstance(found, Contrastive)
    return found


@pytest.fixture(scope="module")
def scenes() -> Contrastive:
    return built("clip")


def batch_of(objective: Any, split: str, count: int, seed: int = 0) -> Any:
    data, rng = objective.data(split), np.random.default_rng(seed)
    return data.collate([data.sample(i, rng) for i in range(count)])


def test_facts_decide_which_texts_are_true() -> None:
    objects = torch.tensor([[[0, 1, 2], [3, 0, 4]], [[0, 0, 2], [-3, -3, -3]], [[-2, 1, 4], [-3, -3, -3]]])
    claims = torch.tensor([[0, -1, 2], [-1, -1, 4], [-1, -1, -1]])
    assert true_of(objects, claims).tolist() == [
        [True, True, False],  # red something of shape 2, something of shape 4
        [True, True, False],  # its own text is true of it, whatever it says
        [False, True, True],  # of unseen colour; a text that claims nothing is true of its own image alone
    ]


def test_what_is_said_of_a_view_is_true_and_its_negative_is_not(scenes: Contrastive) -> None:
    data, rng = scenes.source.split("train", 32), np.random.default_rng(1)
    single = several = 0
    for i in range(150):
        view = data.sample(i, rng)
        words = view.captions[0].replace(",", "").split()
        if max(view.claim) < 0:
            several += 1
            continue
        single += 1
        claimed = [(COLORS, view.claim[0]), (TEXTURES, view.claim[1]), (SHAPES, view.claim[2])]
        for vocabulary, place in claimed:
            named = [w for w in words if w in vocabulary and (vocabulary is not TEXTURES or w != "solid")]
            assert named == ([vocabulary[place]] if place >= 0 else []), view.captions
        assert any(
            all(s in (-1, f) for s, f in zip(view.claim, facts, strict=True)) for facts in view.objects
        )
        false = view.false_caption.split()
        assert not any((c, s) in HELD_OUT for c in false for s in false)
        false_claim = [next((v.index(w) for w in false if w in v), -1) for v in (COLORS, TEXTURES, SHAPES)]
        assert not any(
            all(s in (-1, f) for s, f in zip(false_claim, facts, strict=True)) for facts in view.objects
        )
    assert single > 80 and several > 10


def test_no_word_of_the_scenes_is_unknown(scenes: Contrastive) -> None:
    data, rng = scenes.source.split("train", 32), np.random.default_rng(2)
    views = [data.sample(i, rng) for i in range(100)]
    texts = [text for view in views for text in (*view.captions, view.false_caption)]
    ids = scenes.ids([*texts, *(f"a {name}" for name in NAMES)])
    assert scenes.tokenizer.id("<unk>") not in ids
    assert ids.shape[1] < 32


def test_a_perfect_model_scores_one_and_chance_is_low(scenes: Contrastive) -> None:
    batch = batch_of(scenes, "val", 64)
    scores = scenes.score(scenes.predict(batch))
    assert scores["accuracy"] < 0.2
    assert set(scores) >= {"crops", "pictures", "held_out_crops", "held_out_pictures", "color", "shape"}
    texts = scenes.class_features(scenes.source.classes.texts)
    perfect = {"features": texts[batch["labels"]], "labels": batch["labels"], "groups": batch["groups"]}
    assert set(scenes.score(perfect).values()) == {1.0}
    held_out = torch.tensor([tuple(NAMES[n].split()) in HELD_OUT for n in batch["labels"]])
    assert held_out.any() and not (held_out & batch["groups"][:, :2].any(1)).any()


@pytest.mark.parametrize("model", ["clip", "siglip"])
def test_it_learns_and_cached_gradients_are_the_same(model: str) -> None:
    from accelerate import Accelerator

    objective = built("clip", shape=SIGLIP if model == "siglip" else CLIP)
    batch, accelerator = batch_of(objective, "train", 24), Accelerator(cpu=True)
    run = Runner(objective)
    objective.backward(run, batch, accelerator)
    whole = {name: p.grad.clone() for name, p in objective.model.named_parameters()}
    objective.model.zero_grad()
    objective.config = replace(objective.config, cache_chunk=7)
    losses = objective.backward(run, batch, accelerator)
    for name, parameter in objective.model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], atol=1e-6, rtol=1e-4)
    objective.config = replace(objective.config, cache_chunk=None)
    optimizer = torch.optim.AdamW(objective.model.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        last = objective.backward(run, batch, accelerator)["loss"]
        optimizer.step()
        objective.after_step()
    assert last < 0.8 * losses["loss"]


def test_the_temperature_is_clamped(scenes: Contrastive) -> None:
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

    objective = built("clip-cifar10", "model.image_encoder.patch=8", f"data={classes}")
    source: Any = objective.source
    assert source.names == ["cat", "dog"]
    parts = [divide(source.pairs.names, part) for part in ("train", "val", "test")]
    assert sorted(i for part in parts for i in part) == list(range(60))
    assert min(map(len, parts)) > 0 and len(parts[0]) > 35
    batch = batch_of(objective, "train", len(parts[0]))
    assert set(batch["claims"].flatten().tolist()) == {0, 1}
    optimizer = torch.optim.AdamW(objective.model.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        objective.loss(batch)["loss"].backward()
        optimizer.step()
    scores = objective.score(objective.predict(batch_of(objective, "val", len(parts[1]))))
    assert scores == {"accuracy": 1.0}
    objective.save(tmp_path)
    found = table(tmp_path, classes)
    assert {"one template", "7 templates", "80 templates", "CuPL sentences"} <= set(found)
    assert found["80 templates"] == 1.0
    assert next(v for k, v in found.items() if k.startswith("linear probe")) == 1.0


def test_captions_are_learned_from_files(classes: Path, tmp_path: Path) -> None:
    from PIL import Image

    for i in range(40):
        Image.new("RGB", (20, 20), (6 * i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"picture number {i}")
    objective = built("clip-captions", f"data={tmp_path}", "vocabulary=300", "length=20")
    batch = batch_of(objective, "train", 8)
    assert torch.isfinite(objective.loss(batch)["loss"])
    count = len(objective.data("val"))
    scores = objective.score(objective.predict(batch_of(objective, "val", count)))
    assert set(scores) == {"image_to_text", "text_to_image"}


def test_the_recipes_can_be_read(classes: Path) -> None:
    assert {"clip", "clip-cifar10"} <= set(shipped_recipes())
    recipe = load_recipe("clip", ["steps=7"])
    assert recipe.steps == 7 and recipe.objective == "contrastive"
    assert load_recipe("clip-cifar10", [f"data={classes}"]).data.config.path == classes


def test_a_model_without_what_the_objective_needs_is_refused() -> None:
    with pytest.raises(
        DataError, match="a Sam cannot learn by the objective 'contrastive': it has no encode_images"
    ):
        load_recipe("clip", [*CHANGES["sam"], "model={type: sam}", "init_from=null"]).build()
