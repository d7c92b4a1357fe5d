"""The self-supervised objective: views of images without texts, large batches by chunks, and scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from accelerate import Accelerator  # noqa: E402

from visprog.models import Simclr, load_model  # noqa: E402
from visprog.models.simclr import nt_xent_loss  # noqa: E402
from visprog.training.data.captions import tenth_of  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.metrics.neighbors import knn_accuracy, partner_accuracy  # noqa: E402
from visprog.training.objective import Runner  # noqa: E402
from visprog.training.objectives.self_supervised import SelfSupervised  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import SIMCLR, make_data  # noqa: E402

SMALL = [*SIMCLR, "batch_size=8", "schedule.warmup=1", "evaluate_every=null", "ema=null"]


def built(*changes: str) -> SelfSupervised:
    torch.manual_seed(0)
    found = load_recipe("simclr", [*SMALL, *changes]).build()
    assert isinstance(found, SelfSupervised)
    return found


def batch_of(objective: Any, split: str, count: int) -> Any:
    data, rng = objective.data(split), np.random.default_rng(0)
    return data.collate([data.sample(i, rng) for i in range(count)])


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Coloured images in folders within folders, and no text anywhere; one of them is broken."""
    rng = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "photographs" / f"{i % 3}" / f"deep/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (rng.integers(0, 200, 3) + rng.integers(0, 55, (24, 32, 3))).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(path)
    names = sorted(path.relative_to(tmp_path / "photographs").as_posix() for path in tmp_path.rglob("*.png"))
    (tmp_path / "photographs" / next(name for name in names if tenth_of(name) < 8)).write_bytes(b"broken")
    return tmp_path / "photographs"


def test_a_folder_without_captions_is_learned_and_the_run_resumes(photographs: Path, tmp_path: Path) -> None:
    def recipe(steps: int) -> Any:
        easy = ["jitter=0", "grey=0", "temperature=0.5", "optimizer.lr=1e-2"]
        keys = [f"data={photographs}", f"steps={steps}", "checkpoint_every=10"]
        return load_recipe("simclr", [*SMALL, *easy, *keys])

    first, more = recipe(20), recipe(30)
    assert first.data.name == "images"
    made = fit(first, tmp_path / "run")
    assert len(made["skipped"]) == 1
    made = fit(more, tmp_path / "run")
    losses = np.genfromtxt(tmp_path / "run/log.csv", delimiter=",", names=True)["loss"]
    assert made["step"] == len(losses) == 30 and losses[-5:].mean() < losses[:5].mean() - 0.2
    assert 0 <= made["scores"]["accuracy"] <= 1
    best = load_model(tmp_path / "run/best")
    assert isinstance(best, Simclr) and not (tmp_path / "run/best/tokenizer.json").exists()
    again = load_recipe("simclr", ["model=null", f"init_from={tmp_path / 'run/best'}"])
    torch.testing.assert_close(again.build().model.state_dict(), best.state_dict())


def test_a_batch_holds_two_views_of_each_image_and_validation_the_image_itself() -> None:
    objective = built("data.scenes=20")
    train, val = batch_of(objective, "train", 3), batch_of(objective, "val", 3)
    assert train["images"].shape == (3, 2, 3, 32, 32) and "labels" not in train
    assert not torch.equal(train["images"][:, 0], train["images"][:, 1])
    assert val["images"].shape == (3, 1, 3, 32, 32) and val["labels"].shape == (3, 2)
    assert objective.source.attributes == ("color", "shape")
    predictions = objective.predict(val)
    assert predictions["features"].shape == (3, 16)


def test_loss_is_that_of_both_views_and_chunks_give_the_same_gradients() -> None:
    objective = built("data.scenes=20").__class__
    found = []
    for chunk in (None, 3):
        objective = built("data.scenes=20", "temperature=0.5")
        objective.config = replace(objective.config, cache_chunk=chunk)
        batch = batch_of(objective, "train", 8)
        accelerator = Accelerator(cpu=True)
        losses = objective.backward(accelerator.prepare(Runner(objective)), batch, accelerator)
        found.append((losses, {n: p.grad for n, p in objective.model.named_parameters()}))
    views = batch["images"]
    out = built("data.scenes=20").model(torch.cat([views[:, 0], views[:, 1]]))
    want = nt_xent_loss(*out.hidden[-1].chunk(2), temperature=0.5)
    for losses, gradients in found:
        torch.testing.assert_close(losses["loss"], want.detach())
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][name], atol=1e-6, rtol=1e-4, msg=name)
    assert all(gradient is not None for gradient in found[1][1].values())


def test_classes_are_scored_by_neighbours_without_their_names(tmp_path: Path) -> None:
    make_data(tmp_path / "data")
    objective = built(f"data={{source: classes, path: '{tmp_path}/data/classes.zip'}}")
    assert objective.source.attributes == ("class",)
    batch = batch_of(objective, "val", len(objective.data("val")))
    assert set(objective.score(objective.predict(batch))) == {"accuracy"}


def test_neighbours_vote_and_partners_are_found() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [0.1, 1.0], [0.9, -0.2]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    assert knn_accuracy(features, labels, k=2) == pytest.approx(5 / 6)  # the last one lies among the others
    assert knn_accuracy(1000 * features, labels, k=2) == pytest.approx(5 / 6)
    first = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), dim=1)
    assert float(partner_accuracy(first, first)) == 1
    assert float(partner_accuracy(first, first.flip(0))) == 0


def test_what_does_not_fit_is_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a Clip cannot learn by the objective 'self-supervised'"):
        load_recipe("simclr", ["model=null", "init_from=clip"]).build()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        built(f"data={tmp_path / 'empty'}")
    with pytest.raises(RecipeError, match="grey and blur are shares"):
        built("blur=2")
    with pytest.raises(RecipeError, match=r"'images' yields no Pair: take one of scenes"):
        load_recipe("clip", [f"data={{source: images, path: {photographs}}}"])
