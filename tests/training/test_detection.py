"""The detection objective: phrases that fit what they should, boxes turned with their images, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.scenes import HELD_OUT, Scenes  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.data.scenes.boxes import some_phrase  # noqa: E402
from visprog.training.objectives.detection import Detection, turned  # noqa: E402
from visprog.training.optim.optimizers import make_optimizers  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import OWL, under  # noqa: E402

SHAPE = [
    *OWL,
    *under("model.image_encoder", {"dim": 32, "hidden": 128, "project": 32}),
    *under("model.text_encoder", {"dim": 32, "hidden": 128, "project": 32}),
]


def built(name: str, *changes: str) -> Detection:
    torch.manual_seed(0)
    found = load_recipe(name, [*SHAPE, *changes]).build()
    assert isinstance(found, Detection)
    return found


def on_scenes() -> Detection:
    return built("owl", "scale=1", "anchor=0", "data.queries=8")


def test_phrases_name_what_they_should() -> None:
    objective = on_scenes()
    data: Any = objective.source.split("train", 32)
    rng = np.random.default_rng(0)
    fits = 0
    for key in range(30):
        scene, sample = data.scenes[key], data.sample(key, rng)
        assert sample.objects == scene.objects
        assert len(set(sample.phrases)) == 8
        for phrase in sample.phrases:
            assert np.flatnonzero(sample.fits(phrase)).tolist() == scene.find(phrase)
            fits += sample.fits(phrase).any()
        shares = objective.prepare(sample, rng, True).boxes
        assert ((shares >= 0) & (shares <= 1)).all()
    assert 0.35 < fits / (30 * 8) < 0.85


def test_every_scene_of_a_batch_is_asked_for_all_phrases_of_the_batch() -> None:
    objective = on_scenes()
    data: Any = objective.data("train")
    rng = np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(5)]
    batch = data.collate(samples)
    phrases = list(dict.fromkeys(phrase for sample in samples for phrase in sample.phrases))
    assert batch["tokens"].shape[:2] == (5, len(phrases)) and len(phrases) > 8
    for key in range(5):
        for column, phrase in enumerate(phrases):
            assert np.flatnonzero(batch["named"][key, :, column]).tolist() == Scenes(32)[key].find(phrase)
    val: Any = objective.data("val")
    assert val.collate([val.sample(key, rng) for key in range(5)])["tokens"].shape[:2] == (5, 8)


def test_every_phrase_is_scored_by_itself() -> None:
    """Two texts with equal sums of ids, however these are weighted by place, are two phrases."""
    objective = on_scenes()
    box, far = [0.0, 0.0, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    for one, other in (([9, 1], [1, 2]), ([1, 9], [73, 0])):
        rows = {
            "scores": torch.tensor([[[0.9, 0.9], [0.1, 0.1]]]),
            "boxes": torch.tensor([[box, far]]),
            "phrases": torch.tensor([[one, other]]),
            "truth": torch.tensor([[box, far]]),
            "named": torch.tensor([[[True, False], [False, True]]]),
            "counts": torch.tensor([2]),
        }
        assert objective.score(rows)["map50"] == pytest.approx((1 + 0.5) / 2)
    texts = [f"{size} {color}" for size in ("small", "large") for color in ("red", "blue", "grey")]
    data: Any = objective.data("val")
    batch = data.collate([data.sample(0, np.random.default_rng(0))])
    batch["tokens"] = objective.tokenizer(texts).ids[None]
    found = objective.predict(batch)["phrases"]
    assert found.shape == (1, 6, 8) and len(set(map(tuple, found[0].tolist()))) == 6


def test_training_never_names_what_is_held_out() -> None:
    rng = np.random.default_rng(0)
    scenes = Scenes(32, split="train")
    for key in range(400):
        for shown in (True, False):
            words = set(some_phrase(scenes[key], rng, shown=shown, rare=False).split())
            assert not any(words.issuperset(pair) for pair in HELD_OUT)


@pytest.mark.parametrize("which", range(8))
def test_images_and_boxes_turn_together(which: int) -> None:
    pixels = np.zeros((12, 20, 3), np.uint8)
    pixels[2:5, 3:9] = 255
    box = np.array([[3 / 20, 2 / 12, 9 / 20, 5 / 12]])
    turned_pixels, turned_box = turned(pixels, box, which)
    height, width = turned_pixels.shape[:2]
    left, top, right, bottom = np.rint(turned_box[0] * [width, height, width, height]).astype(int)
    assert turned_pixels[top:bottom, left:right].min() == 255
    assert turned_pixels.astype(int).sum() == 3 * 255 * (bottom - top) * (right - left)


def test_it_learns_a_batch_and_is_scored_and_saved(tmp_path: Path) -> None:
    task = on_scenes()
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
    task = built("owl-boxes", "init_from=null", f"data={path}")
    assert sorted(task.source.phrases) == ["platelets", "rbc", "wbc"]
    data = task.data("train")
    rng = np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in (0, 1)])
    assert batch["named"].sum(-1)[0, : batch["counts"][0]].tolist() == [1] * int(batch["counts"][0])
    assert np.isfinite(task.loss(batch)["loss"].item())


LLAVA = "model={type: llava, language_model: {dim: 160, layers: 4, heads: 5, hidden: 432}, merge: 2}"


@pytest.mark.parametrize("name", ["clip", "coca", "llava-words", "llava", "owl", "sam"])
def test_the_recipes_on_scenes_build_their_models(name: str) -> None:
    recipe = load_recipe(name, ["init_from={image_encoder: owl}", LLAVA] if name == "llava" else [])
    task = recipe.build()
    assert make_optimizers(task, recipe.optimizer)
    data, rng = task.data("train"), np.random.default_rng(0)
    assert isinstance(data.collate([data.sample(key, rng) for key in range(2)]), dict)


def test_the_recipe_for_your_own_boxes(shared: Path) -> None:
    path = shared / "data/bccd_trainval.zip"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    recipe = load_recipe("owl-boxes", [f"data={path}", "names={WBC: white blood cell}"])
    task: Any = recipe.build()
    assert make_optimizers(task, recipe.optimizer)
    assert sorted(task.source.phrases) == ["platelets", "rbc", "white blood cell"]
    with pytest.raises(DataError, match=r"data.names: there is no 'Leaf'"):
        load_recipe("owl-boxes", [f"data={path}", "names={Leaf: leaf}"]).build()
