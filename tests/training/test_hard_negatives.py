"""Hard negatives of the contrastive objective: word swaps, mined images, and captions of regions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

import torch.nn.functional as F  # noqa: E402

from visprog.models.nn.roi_align import roi_align  # noqa: E402
from visprog.scenes.related import RelatedPairs  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.hard_images import nearest_images  # noqa: E402
from visprog.training.objectives.contrastive import pair_numbers, related  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.training.trainer import Trainer  # noqa: E402

from .recipes import CLIP, OWL, make_data  # noqa: E402


def built(*changes: str, recipe: str = "clip-relations", small: list[str] = CLIP) -> Any:
    torch.manual_seed(0)
    return load_recipe(recipe, [*small, *changes]).build()


def batch_of(objective: Any, count: int = 6, seed: int = 0) -> Any:
    data, rng = objective.data("train"), np.random.default_rng(seed)
    return data.collate([data.sample(i, rng) for i in range(count)])


# -- NegCLIP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_that_of_negclip(seed: int) -> None:
    """B images and B hard ones against the captions of both and the false captions of both."""
    objective = built("hard_images=2", "swaps=1", "regions=0", "data.scenes=4000")
    batch = batch_of(objective, 5, seed)
    assert len(batch["images"]) == len(batch["tokens"]) == len(batch["false"]) == 10
    model = objective.model
    images = F.normalize(model.image_encoder(batch["images"]).projected, dim=-1)
    texts = torch.cat([batch["tokens"], batch["false"][:, 0]])
    logits = model.logit_scale.exp() * images @ F.normalize(model.text_encoder(texts).projected, dim=-1).T
    assert logits.shape == (10, 20)  # 2B x 4B
    target = torch.arange(10)
    wanted = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T[: len(logits)], target)) / 2
    found = objective.loss(batch)["loss"]
    assert len({tuple(pair) for pair in batch["pairs"].tolist()}) == 10  # no two captions are equal
    torch.testing.assert_close(found, wanted)
    ours = torch.autograd.grad(found, list(model.parameters()), retain_graph=True)
    theirs = torch.autograd.grad(wanted, list(model.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_several_swaps_of_an_image() -> None:
    objective = built("swaps=3", "regions=0")
    batch = batch_of(objective, 6)
    assert batch["false"].shape[:2] == (6, 3) and batch["pairs"].shape == (6, 5)
    images, texts = objective.embed(batch)
    assert texts.shape[:2] == (6, 4)
    for k in range(3):
        torch.testing.assert_close(texts[:, 1 + k], objective.model.encode_texts(batch["false"][:, k]))
    logits, target = (
        objective.model.logit_scale.exp() * images @ torch.cat(texts.unbind(1)).T,
        torch.arange(6),
    )
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :6].T, target)) / 2
    torch.testing.assert_close(objective.loss(batch)["loss"], loss)


def test_a_false_caption_that_is_true_of_another_image_is_right_for_it() -> None:
    pairs = pair_numbers(["1", "2"], ["red on blue", "blue on red"], ["blue on red", "green"])
    assert related(pairs).tolist() == [[True, False, False, False], [False, True, True, False]]


def test_swaps_are_false_captions_of_any_source(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(30):
        Image.new("RGB", (20, 20), (8 * i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"a red dog on a blue bus {i}" if i % 2 else f"dog {i}")
    keys = ["vocabulary=300", "length=40", "negatives=swaps", f"data={tmp_path}"]
    objective = built(*keys, recipe="clip-captions")
    data, rng = objective.data("train"), np.random.default_rng(0)
    views = [data.sample(i, rng) for i in range(len(data))]
    for view in views:
        words = view.caption.split()
        (false,) = view.false_captions
        assert (false == "") == (len(words) < 3)
        assert false != view.caption and sorted(false.split()) in ([], sorted(words))
    batch = data.collate(views[:4])
    assert batch["false"].shape == (4, 1, batch["tokens"].shape[1]) and torch.isfinite(
        objective.loss(batch)["loss"]
    )
    assert "false" not in objective.data("val").collate([objective.data("val").sample(0, rng)])


# -- hard images --------------------------------------------------------------------------------------


def test_nearest_images_are_exact_and_of_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visprog.training.hard_images.BLOCK", 7)
    generator = torch.Generator().manual_seed(0)
    of = torch.arange(20).repeat_interleave(3)[
        torch.randperm(60, generator=generator)
    ]  # 20 images, 3 samples each
    features = F.normalize(torch.randn(20, 5, generator=generator), dim=-1)
    keys = torch.randperm(64, generator=generator)[:60]  # 4 samples are bad
    table = nearest_images(features[of], keys, of + 100, 64, 4)
    image_of = dict(zip(keys.tolist(), of.tolist(), strict=True))
    cosines = (features @ features.T).fill_diagonal_(-2)
    for key in range(64):
        if key not in image_of:
            assert table[key].tolist() == [-1] * 4
            continue
        found = [image_of[k] for k in table[key].tolist()]
        assert found == cosines[image_of[key]].topk(4)[1].tolist()
    siblings = [k for k, image in image_of.items() if image == 0]
    assert len({int(table[k, 0]) for k in siblings}) == 3  # samples of a neighbour are taken in turn
    with pytest.raises(DataError, match="different images"):
        nearest_images(features[of], keys, torch.zeros(60, dtype=torch.long), 64, 4)


def test_a_hard_image_is_near_and_mining_is_repeatable() -> None:
    trainer = Trainer(
        load_recipe("clip-relations", [*CLIP, "hard_images=2", "data.scenes=30", "batch_size=4"])
    )
    next(iter(trainer.batches()))
    objective = trainer.objective
    mined = objective.state()["neighbours"]
    assert mined.shape == (30, 2) and not any(i in row for i, row in enumerate(mined.tolist()))
    trainer._refresh()
    assert torch.equal(mined, objective.state()["neighbours"])
    first, second = objective.hard_images.sample(3, np.random.default_rng(0))
    names = {
        objective.hard_images.samples.sample(int(k), np.random.default_rng(0)).pair.name for k in mined[3]
    }
    assert second.pair.name in names and first.pair.name not in names


@pytest.mark.parametrize("every", ["null", "3"])
def test_mining_is_resumed(every: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visprog.training.data.scenes.relations.TESTS", 8)
    keys = [*CLIP, "hard_images=2", f"mine_every={every}", "data.scenes=24", "batch_size=4", "ema=null",
            "evaluate_every=null", "schedule.warmup=1", "checkpoint_every=4", "steps=8",
            "optimizer.lr=1e-2"]  # fmt: skip
    recipe = load_recipe("clip-relations", keys)
    fit(recipe, tmp_path / "whole")
    fit(recipe, tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts/checkpoints/step-00000008")  # as if it had been stopped after step 4
    (tmp_path / "parts/summary.json").unlink()
    fit(recipe, tmp_path / "parts")
    one, two = ((tmp_path / p / "last/model.safetensors").read_bytes() for p in ("whole", "parts"))
    assert one == two


def test_what_cannot_be_mined_is_refused(tmp_path: Path) -> None:
    make_data(tmp_path / "data")
    with pytest.raises(DataError, match="hard_images=90 needs more than 90"):
        built("hard_images=90", "data.scenes=30").data("train")
    for wrong, message in (
        ("hard_images=0", "hard_images must be positive"),
        ("mine_every=5", "give their number too"),
        ("regions=-1", "must not be negative"),
        ("shift=2", "leave out shift"),
    ):
        with pytest.raises(RecipeError, match=message):
            built(wrong)


# -- regions ------------------------------------------------------------------------------------------


def test_regions_are_compared_with_their_phrases() -> None:
    objective = built("regions=0.5")
    batch = batch_of(objective, 6)
    assert batch["boxes"].shape == (6, 2, 4) and (batch["named"] != 0).all()
    model, losses = objective.model, objective.loss(batch)
    found = model.image_encoder(batch["images"])
    grid = objective.model.config.image_encoder.grid
    maps = found.tokens[:, 1:].transpose(1, 2).reshape(6, -1, grid, grid)
    boxes, owners = batch["boxes"].flatten(0, 1), torch.arange(12) // 2
    pooled = roi_align(maps, boxes, owners, (1, 1), grid / objective.size, samples=4).flatten(1)
    regions = F.normalize(model.image_encoder.projection(model.image_encoder.norm(pooled)), dim=-1)
    phrases = model.encode_texts(batch["phrases"].flatten(0, 1))
    same = (batch["named"].flatten()[:, None] == batch["named"].flatten()).float()
    logits, target = model.logit_scale.exp() * regions @ phrases.T, same / same.sum(1, keepdim=True)
    wanted = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(losses["regions"], wanted)
    plain = {name: value for name, value in batch.items() if name not in ("boxes", "named", "phrases")}
    torch.testing.assert_close(losses["loss"], objective.loss(plain)["loss"] + 0.5 * wanted)


def test_regions_are_read_from_json_lines(tmp_path: Path) -> None:
    from PIL import Image

    rows = []
    for i in range(40):
        Image.new("RGB", (40, 20), (6 * i, 0, 0)).save(tmp_path / f"{i}.png")
        row = {"image": f"{i}.png", "caption": f"noise {i}"}
        if i % 2:
            row["regions"] = [
                {"box": [0, 0, 20, 20], "phrase": "left half"},
                {"box": [20, 0, 40, 20], "phrase": "b"},
            ]
        rows.append(row)
    rows[38]["regions"] = [{"box": [5, 0, 2, 20], "phrase": "reversed"}]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    keys = ["regions=1", "vocabulary=300", "length=20", f"data={tmp_path}/captions.jsonl"]
    objective = built(*keys, recipe="clip-captions")
    data = objective.source.train
    assert data[1].phrases == ("left half", "b") and data[1].boxes.tolist() == [
        [0, 0, 20, 20],
        [20, 0, 40, 20],
    ]
    assert data[0].boxes.shape == (0, 4) and data.entries[38].problem.startswith("its regions are no list")
    batch = batch_of(objective, 8)
    size = objective.size
    fitted = {tuple(box) for i in range(8) for box in batch["boxes"][i][batch["named"][i] != 0].tolist()}
    assert fitted == {(0, 0, size / 2, size), (size / 2, 0, size, size)}
    assert torch.isfinite(objective.loss(batch)["loss"])


def test_an_image_without_regions_only_fills_the_batch() -> None:
    objective = built("regions=0.5")
    batch = batch_of(objective, 4)
    batch["named"][1:] = 0
    some = objective.loss(batch)["regions"]
    batch["boxes"][1:] = 0
    torch.testing.assert_close(objective.loss(batch)["regions"], some)
    batch["named"][:] = 0
    losses = objective.loss(batch)
    assert losses["regions"] == 0 and torch.isfinite(losses["loss"])
    losses["loss"].backward()


def test_regions_with_cached_gradients_are_the_same() -> None:
    from accelerate import Accelerator

    from visprog.training.objective import Runner

    objective, accelerator = built("regions=0.5", "cache_chunk=4"), Accelerator(cpu=True)
    batch, run = batch_of(objective, 6), Runner(objective)
    objective.backward(run, batch, accelerator)
    cached = {name: p.grad.clone() for name, p in objective.model.named_parameters()}
    objective.model.zero_grad()
    objective.loss(batch)["loss"].backward()
    for name, parameter in objective.model.named_parameters():
        torch.testing.assert_close(parameter.grad, cached[name], atol=1e-6, rtol=1e-4)


def test_a_model_that_learned_regions_says_so(tmp_path: Path) -> None:
    built("regions=0.5").save(tmp_path)
    assert json.loads((tmp_path / "backend.json").read_text())["options"] == {"regions": True}
    with pytest.raises(DataError, match="the data have no regions"):
        built("regions=1", recipe="clip", small=[*CLIP, "init_from=null"])
    with pytest.raises(DataError, match="it has no encode_regions"):
        built("regions=1", "model={type: siglip}", small=[])


def test_a_detector_compares_its_boxes_with_phrases() -> None:
    objective = built("regions=2", "scale=1", recipe="owl", small=OWL)
    batch = batch_of(objective, 5)
    losses = objective.loss(batch)
    features, queries = objective.encode(batch)
    grid = objective.model.config.image_encoder.grid
    rows, named = [], []
    for i in range(5):
        for k in range(int(batch["counts"][i])):
            if batch["named"][i, k].any():
                cx, cy, w, h = batch["boxes"][i, k].tolist()
                box = torch.tensor([[cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]]) * grid
                maps = features[i].T.reshape(1, -1, grid, grid)
                pooled = roi_align(maps, box, torch.tensor([0]), (1, 1), samples=4).flatten(1)
                rows.append(F.normalize(objective.model.class_head.projection(pooled), dim=-1))
                named.append(int(batch["named"][i, k].int().argmax()))
    same = torch.tensor([[float(a == b) for b in named] for a in named])
    logits = objective.model.logit_scale.exp() * torch.cat(rows) @ queries[0][named].T
    target = same / same.sum(1, keepdim=True)
    wanted = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(losses["regions"], wanted)
    batch["named"][:] = False
    assert objective.loss(batch)["regions"] == 0


# -- scenes with relations ------------------------------------------------------------------------------


def test_near_misses_of_related_pairs_are_false() -> None:
    import random

    for split in ("train", "held_out"):
        pairs = RelatedPairs(32, split=split)
        for i in range(40):
            pair = pairs[i]
            assert pair.scene.agrees(pair.caption) and pair.scene.agrees(pair.listed.replace("the ", "a "))
            for wrong in (pair.flipped(), pair.exchanged(), pair.replaced(random.Random(i))):
                assert not pair.scene.agrees(wrong.caption), (pair.caption, wrong.caption)
